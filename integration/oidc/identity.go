package oidc

import (
	"slices"
	"strconv"
	"strings"

	goidc "github.com/coreos/go-oidc/v3/oidc"

	"github.com/upgradegate/upgradegate/upgrade"
)

const (
	// longestSubject is how long a subject may be (OpenID Connect Core §2).
	longestSubject = 255
	longestName    = 200
	// maxGroups is how many groups of somebody are read; a role of one behind them would come and go.
	maxGroups = 1000
)

// identity reads who the token is of.
func (p *Provider) identity(token *goidc.IDToken) (upgrade.Identity, error) {
	var claims map[string]any
	if err := token.Claims(&claims); err != nil {
		return upgrade.Identity{}, p.distrust("its ID token cannot be read", err)
	}
	return p.who(token.Subject, token.Audience, claims)
}

// who reads the claims of a token that holds.
func (p *Provider) who(subject string, audience []string, claims map[string]any) (upgrade.Identity, error) {
	// Core §3.1.3.7: a token that several may use names the one for whom it was made.
	if azp, named := claims["azp"]; named && azp != p.cfg.ClientID || !named && len(audience) > 1 {
		return upgrade.Identity{}, p.distrust("its ID token was made for another application", nil)
	}
	if subject == "" || len(subject) > longestSubject || subject != clean(subject) {
		return upgrade.Identity{}, p.distrust("its ID token does not say whom it is of", nil)
	}
	text := func(names ...string) string {
		for _, name := range names {
			s, _ := claims[name].(string)
			if s = clean(s); s != "" {
				return strings.ToValidUTF8(s[:min(len(s), longestName)], "")
			}
		}
		return ""
	}
	who := upgrade.Identity{Username: text("nickname", "preferred_username"), Name: text("name", "preferred_username", "nickname", "email")}
	if who.Name == "" {
		who.Name = subject
	}
	if p.cfg.GitLab {
		id, err := strconv.ParseInt(subject, 10, 64)
		if err != nil || id < 1 || strconv.FormatInt(id, 10) != subject {
			return upgrade.Identity{}, p.distrust("it does not name a user by number, as GitLab does", nil)
		}
		who.Subject, who.GitLabUser = "gitlab/"+subject, id
		return who, nil
	}
	who.Subject = "oidc/" + p.cfg.Name + "/" + subject
	groups, err := p.groups(claims)
	who.Groups = groups
	return who, err
}

// clean is text without white space around it and without what is no text.
func clean(text string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\u2028' || r == '\u2029' || r >= '\u202a' && r <= '\u202e' || r >= '\u2066' && r <= '\u2069' { // what turns text around, too
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, "")))
}

// groups reads the claim of groups: a list of names, or one name. A claim of another shape gives none.
func (p *Provider) groups(claims map[string]any) (groups []string, err error) {
	if p.cfg.Groups == "" {
		return nil, nil
	}
	var names []any
	switch claim := claims[p.cfg.Groups].(type) {
	case []any:
		names = claim
	case string:
		names = []any{claim}
	}
	if len(names) > maxGroups {
		return nil, p.distrust("it names more than "+strconv.Itoa(maxGroups)+" groups", nil)
	}
	for _, one := range names {
		if name, ok := one.(string); ok && name != "" && !slices.Contains(groups, p.cfg.Name+"/"+name) {
			groups = append(groups, p.cfg.Name+"/"+name)
		}
	}
	return groups, nil
}
