// Package varnish looks at a site from outside, through Varnish, one layer at a time: DNS, TCP, TLS,
// Varnish itself, the back end behind it, and the content. It says which rung of that ladder is broken
// first, by a class and in one sentence, and nothing about whether that is good enough: gates decide.
//
// It speaks to sockets itself instead of through an HTTP client. So the failing layer is known from the
// place in the code, and there is no hidden redirect, retry, proxy or pooled connection between what
// was asked and what was seen.
//
// A prober must never become a way into the network it stands in: every address is checked by a [Guard]
// when it is dialled, after names have become addresses. Nothing here writes to the probed system: one
// GET for each look, with a fixed User-Agent by which the site's logs can be filtered.
package varnish
