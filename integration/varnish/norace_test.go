//go:build !race

package varnish

const raced = false
