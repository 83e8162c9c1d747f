package probe

import "time"

// MostCerts is how many certificates of one chain are kept, and MostNames how many names of one.
const (
	MostCerts = 6
	MostNames = 20
)

// Cert is what is kept of one certificate that a terminator presented.
type Cert struct {
	Subject string    // its common name; empty if it has none
	Issuer  string    // the common name of who signed it, or the organisation
	Serial  string    // hexadecimal, in pairs with colons, as OpenSSL writes it
	SHA256  string    // of the whole certificate, hexadecimal
	From    time.Time // it is valid
	Until   time.Time // it is valid
	Names   []string  // hosts and addresses that it is for, MostNames at most
	More    int       // names beyond those
}
