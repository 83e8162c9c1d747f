// Package webhooks takes GitLab's deliveries in: it limits, verifies, reads the few fields that are
// used, and hands each delivery to the inbox, which makes it durable before the answer is sent. It
// decides nothing about runs and asks GitLab nothing: a delivery is a hint (S7), and what is true is
// found out later.
package webhooks
