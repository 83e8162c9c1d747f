// Package testkit has what tests of several packages share. Only tests import it.
package testkit
