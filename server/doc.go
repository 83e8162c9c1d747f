// Package server is the way in for people and programs: the API under /api/v1, the dashboard's pages,
// their live stream, signing in, health and metrics. It reads through small interfaces that it
// declares and acts through one; who may do what, and when, is decided behind that one and not here.
// Everything it serves is embedded; no page asks another host for anything.
package server
