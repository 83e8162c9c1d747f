package awssim

import (
	"encoding/xml"
	"strconv"
	"strings"
	"time"
)

// node is an XML element of an answer.
type node struct {
	name string
	text string
	kids []node
}

// nd is an element with others in it.
func nd(name string, kids ...node) node { return node{name: name, kids: kids} }

// tx is an element with text in it.
func tx(name, text string) node { return node{name: name, text: text} }

// opt is tx, or nothing if there is no text: answers leave out what is not known.
func opt(name, text string) node {
	if text == "" {
		return node{}
	}
	return tx(name, text)
}

// num is an element with a number in it.
func num(name string, n int) node { return tx(name, strconv.Itoa(n)) }

// flag is an element with true or false in it.
func flag(name string, v bool) node { return tx(name, strconv.FormatBool(v)) }

// stamp is an element with a time in it; nothing for the zero time.
func stamp(name string, t time.Time) node {
	if t.IsZero() {
		return node{}
	}
	return tx(name, t.UTC().Format("2006-01-02T15:04:05.000Z"))
}

// list is an element with one element per value in it, made by each.
func list[T any](name string, values []T, each func(T) node) node {
	out := node{name: name}
	for _, v := range values {
		out.kids = append(out.kids, each(v))
	}
	return out
}

// item names the elements of EC2's lists, member those of the other query services.
func item(kids ...node) node   { return nd("item", kids...) }
func member(kids ...node) node { return nd("member", kids...) }

// texts is a list of plain values of EC2 Auto Scaling.
func texts(name string, values []string) node {
	return list(name, values, func(v string) node { return tx("member", v) })
}

// write appends n as XML.
func (n node) write(out *strings.Builder) {
	if n.name == "" {
		return
	}
	out.WriteString("<" + n.name + ">")
	_ = xml.EscapeText(out, []byte(n.text)) // a strings.Builder takes everything
	for _, kid := range n.kids {
		kid.write(out)
	}
	// An element's end must not repeat the attributes of its start.
	name, _, _ := strings.Cut(n.name, " ")
	out.WriteString("</" + name + ">")
}

// document returns n as a whole document.
func (n node) document() []byte {
	var out strings.Builder
	out.WriteString(`<?xml version="1.0" encoding="UTF-8"?>` + "\n")
	n.write(&out)
	return []byte(out.String())
}
