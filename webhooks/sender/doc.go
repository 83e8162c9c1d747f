// Package sender posts what the journals of runs say to whoever subscribed: signed after Standard Webhooks
// (https://www.standardwebhooks.com), at least once, in the order of each run's journal, tried for three days.
//
// The journal is the only source. Of each subscription it is kept up to which event it was looked at, and what
// is on its way is queued together with that; an event counts as delivered when that is noted after a 2xx. So a
// process that is killed in between sends the event again, under the same webhook-id.
package sender
