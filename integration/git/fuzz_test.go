package git

import (
	"strings"
	"testing"

	"github.com/upgradegate/upgradegate/upgrade/forge"
)

func FuzzParseAuthors(f *testing.F) {
	f.Add("")
	f.Add("Ada\x00ada@example.org\x00Bob\x00bob@example.org\x00\x00")
	f.Add("Ada\x00a@x\x00Bob\x00b@x\x00Eve <e@x>\n<>\nx > y < z\n\x00\x00\x00\x00\x00>\x00")
	f.Add("\x00\x00\x00")
	f.Fuzz(func(t *testing.T, text string) {
		authors, err := parseAuthors(text)
		if err != nil {
			return
		}
		seen := map[forge.Author]bool{}
		for _, author := range authors {
			if seen[author] {
				t.Errorf("%+v is there twice", author)
			}
			seen[author] = true
			if !strings.Contains(text, author.Name) || !strings.Contains(text, author.Email) {
				t.Errorf("%+v is made up", author)
			}
		}
	})
}
