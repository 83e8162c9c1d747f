package server

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/upgradegate/upgradegate/upgrade"
)

// Settings are the configuration as pages show it.
type Settings struct {
	File     string
	LoadedAt time.Time
	Digest   string // SHA-256 of the file as it was loaded, hexadecimal
	Values   []Setting
	Warnings []string  // sentences
	Changed  bool      // the file is another one by now
	Rejected []Problem // why the file as it is now would not be loaded
}

// Setting is one value in force, without secrets.
type Setting struct {
	Path   string // such as "stacks[0].staging.workspace"
	Value  string
	Line   int  // in the file; 0: it is not written there
	Secret bool // Value says where it comes from
}

// Problem is a mistake in the configuration.
type Problem struct {
	Line                int // 0: the file as a whole
	Path, Message, Hint string
}

// configPage is the configuration, grouped as in the file.
type configPage struct {
	Headline string
	Settings Settings
	Loaded   when
	Short    string // of the digest
	Groups   []settingGroup
	None     bool
}

type settingGroup struct {
	ID, Title string
	Rows      []settingRow
	Open      bool
}

type settingRow struct {
	Path, Value, Where string
	Default, Secret    bool
}

func (s *Server) configPage(c *gin.Context) error {
	if err := upgrade.May(person(c), upgrade.ActRead, upgrade.Object{Name: "the configuration"}); err != nil {
		return err
	}
	page := configPage{Headline: "The configuration is not from a file.", None: s.settings == nil}
	l := s.layout(c, "Configuration", nil)
	if s.settings != nil {
		page = configView(s.settings(), s.words())
		if len(page.Settings.Rejected) > 0 {
			l.TabIcon = "cross.svg"
		}
	}
	l.Page = page
	return s.show(c, http.StatusOK, "config", l)
}

func configView(in Settings, w words) configPage {
	page := configPage{Headline: "What is in force", Settings: in, Loaded: w.stamp(in.LoadedAt), Short: middle(in.Digest)}
	switch {
	case len(in.Rejected) > 0:
		page.Headline = "A newer file is wrong. The old values stay in force."
	case in.Changed:
		page.Headline = "The file has changed. The old values stay in force until the next start."
	}
	at := map[string]int{}
	for _, one := range in.Values {
		group, rest := groupOf(one.Path)
		i, known := at[group]
		if !known {
			i = len(page.Groups)
			at[group] = i
			page.Groups = append(page.Groups, settingGroup{ID: "c-" + slug(group), Title: group})
		}
		row := settingRow{Path: rest, Value: one.Value, Secret: one.Secret, Default: one.Line == 0, Where: "default"}
		if one.Line > 0 {
			row.Where = fmt.Sprintf("line%s%d", nb, one.Line)
		}
		page.Groups[i].Rows = append(page.Groups[i].Rows, row)
	}
	for i := range page.Groups {
		page.Groups[i].Open = len(in.Values) <= 60
	}
	return page
}

// groupOf returns the group of a path and what is left of it: "stacks[0]" and "staging.workspace".
func groupOf(path string) (group, rest string) {
	group, rest, _ = strings.Cut(path, ".")
	if rest == "" {
		return "the file itself", path
	}
	return group, rest
}
