// Package browser has nothing but tests: the pages of the server in a real browser. They need Chromium on the
// PATH and are skipped without it.
package browser
