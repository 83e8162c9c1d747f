// Package config reads the operator's file: raw in, checked values out, every mistake at once.
//
// One table of keys says what the file may hold. The reader walks the YAML along it, and [Schema]
// prints it for editors, so that the two cannot differ. What a key alone can tell is checked while it
// is read; what needs several keys (names, references, circles, the safety rules of a start) is
// checked afterwards, on the same paths and lines.
//
// The package decides what is refused, never what is done: it starts nothing, dials nothing, and reads
// no environment and no file but through [Source]. No message of it ever holds a secret's value (S9).
package config
