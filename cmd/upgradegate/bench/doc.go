// Package bench measures the product as an operator runs it: how fast deliveries are taken, what a run
// costs beyond its Terraform, and what an idle service needs. It is all tests, which `make bench` runs;
// docs/performance.md says what came out.
package bench
