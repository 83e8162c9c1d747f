package upgrade

import "log/slog"

// hidden is what every way of printing a Secret gives.
const hidden = "(secret)"

// Secret is a string that no log, page, error or JSON shows (S9). Only Reveal gives it out.
type Secret string

// Reveal returns the secret itself, for the one place that hands it to the system it belongs to.
func (s Secret) Reveal() string { return string(s) }

// Set reports whether there is a secret at all.
func (s Secret) Set() bool { return s != "" }

// String returns a placeholder.
func (s Secret) String() string { return hidden }

// GoString returns a placeholder, for %#v.
func (s Secret) GoString() string { return hidden }

// LogValue returns a placeholder, for slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(hidden) }

// MarshalText returns a placeholder, for every encoder.
func (s Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }
