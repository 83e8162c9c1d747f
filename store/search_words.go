package store

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/upgradegate/upgradegate/upgrade"
)

// Bounds of what a run is known by.
const (
	maxWord        = 64  // bytes; a longer one is known by its beginning
	maxResultWords = 80  // of one result
	shortestPart   = 2   // characters of a part of a word, such as "ebs" of "asg-ebs"
	maxSearchWords = 6   // of one search
	maxCompletions = 50  // words that one word of a search may stand for
	maxCounted     = 250 // matches of a text that are counted by stack, phase and month
)

// wordSet gathers words, each once.
type wordSet map[string]bool

// add takes the words of a text, and of each its parts between dashes, dots and the like.
func (w wordSet) add(text string) {
	for _, word := range searchWords(text) {
		w.one(word)
		for _, part := range strings.FieldsFunc(word, func(r rune) bool { return strings.ContainsRune("-_./:@!+", r) }) {
			if utf8.RuneCountInString(part) >= shortestPart {
				w.one(part)
			}
		}
	}
}

func (w wordSet) one(word string) {
	if len(word) > maxWord {
		word = strings.ToValidUTF8(word[:maxWord], "")
	}
	if word != "" {
		w[word] = true
	}
}

// sorted returns the words in their order, so that two transactions take rows in one order.
func (w wordSet) sorted() []string {
	words := make([]string, 0, len(w))
	for word := range w {
		words = append(words, word)
	}
	slices.Sort(words)
	return words
}

// searchWords splits a text where white space, quotes and brackets are, in lower case.
func searchWords(text string) []string {
	words := strings.FieldsFunc(strings.ToLower(strings.ToValidUTF8(text, " ")), func(r rune) bool {
		return unicode.IsSpace(r) || unicode.IsControl(r) || strings.ContainsRune(`,;()[]{}<>"'|=…→`, r)
	})
	for i := range words {
		words[i] = strings.Trim(words[i], ".:-!?")
	}
	return slices.DeleteFunc(words, func(s string) bool { return s == "" })
}

// runWords returns what a run itself is known by.
func runWords(r *upgrade.Run) wordSet {
	w := wordSet{}
	w.one(strconv.FormatInt(int64(r.ID), 10))
	for _, text := range []string{string(r.Stack), r.Version, r.Project, r.Title, r.Author, r.StoppedBy} {
		w.add(text)
	}
	w.one(string(r.Commit))
	for _, a := range r.Agreed {
		w.add(a.By)
	}
	if r.Override != nil {
		for _, p := range r.Override.By {
			w.add(p.Name)
		}
	}
	return w
}

// answerWords returns what a run is known by for what it answers for.
func answerWords(a upgrade.Answer) wordSet {
	w := wordSet{}
	w.add(a.Ref)
	w.one(string(a.Commit))
	if a.MergeRequest != 0 {
		w.one(strconv.FormatInt(a.MergeRequest, 10))
	}
	return w
}

// identifier is a word that names a thing rather than being language: it has a digit or a dash inside.
var identifier = regexp.MustCompile(`^[\p{L}\p{N}][\p{L}\p{N}._/:@+-]*[-_:/0-9][\p{L}\p{N}._/:@+-]*$`)

// resultWords returns what a run is known by for what a gate saw: names of things, not the language around.
func resultWords(r *upgrade.Result) wordSet {
	w := wordSet{}
	w.add(string(r.Gate))
	take := func(text string) {
		for _, word := range searchWords(text) {
			if len(w) >= maxResultWords {
				return
			}
			if identifier.MatchString(word) {
				if i := strings.LastIndexAny(word, "/:"); i >= 0 && len(word) > 24 { // the last part of an ARN or a path is what people know
					word = word[i+1:]
				}
				w.one(word)
			}
		}
	}
	take(r.Message)
	for _, f := range r.Evidence.Facts {
		if !strings.HasPrefix(f.Name, "Repair") {
			take(f.Value)
		}
	}
	for _, t := range r.Evidence.Tables {
		for _, row := range t.Rows {
			for _, cell := range row {
				take(cell)
			}
		}
	}
	return w
}
