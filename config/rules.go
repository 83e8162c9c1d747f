package config

import (
	"net/netip"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// personRule is for names that stand in the journal beside what was done "by rule".
func personRule(s string) (wrong, hint string) {
	switch {
	case strings.EqualFold(strings.TrimSpace(s), "by rule"):
		return "is what the journal calls the service itself", "choose another name"
	case len(s) > 64 || strings.TrimSpace(s) != s:
		return "must be at most 64 bytes without white space around them", ""
	}
	return "", ""
}

// atMost refuses what is longer, in bytes.
func atMost(most int, hint string) rule {
	return func(s string) (string, string) {
		if len(s) > most {
			return quoted(s) + " is longer than " + strconv.Itoa(most) + " bytes", hint
		}
		return "", ""
	}
}

// noDash refuses what a program would take for an option.
func noDash(s string) (wrong, hint string) {
	if strings.HasPrefix(s, "-") {
		return "must not begin with a dash", ""
	}
	return "", ""
}

// insideRule is for slash-separated paths within the repository.
func insideRule(s string) (wrong, hint string) {
	const relative = "give it relative, with slashes"
	switch {
	case path.IsAbs(s):
		return "must lie in the repository, not be absolute", relative
	case slices.Contains(strings.Split(s, "/"), ".."):
		return "must lie in the repository, without ..", relative
	case strings.Contains(s, `\`):
		return "must not hold a backslash", relative
	case strings.HasPrefix(s, "-"):
		return "must not begin with a dash", ""
	case path.Clean(s) != s:
		return "is not written the short way", "write " + quoted(path.Clean(s))
	}
	return "", ""
}

// globRule is for globs of which ** stands for any number of folders.
func globRule(s string) (wrong, hint string) {
	switch {
	case strings.HasPrefix(s, "/"):
		return "must not begin with a slash", "globs start at the top of the repository"
	case strings.HasPrefix(s, "!"):
		return "a glob cannot exclude", "list what touches the stack"
	case strings.HasSuffix(s, "/"):
		return "a folder alone matches no file", "write " + quoted(s+"**")
	}
	for part := range strings.SplitSeq(s, "/") {
		switch {
		case part == "" || part == "." || part == "..":
			return quoted(s) + " holds an empty part, . or ..", "globs start at the top of the repository"
		case part != "**" && strings.Contains(part, "**"):
			return "** must stand between slashes", "write dir/**/*.tf for every such file below dir"
		}
		if _, err := path.Match(part, ""); err != nil {
			return quoted(s) + " is not a glob", "is a bracket open?"
		}
	}
	return "", ""
}

// projectRule catches what people paste instead of a path.
func projectRule(s string) (wrong, hint string) {
	if strings.HasSuffix(s, ".git") {
		return "must not end in .git", "give the path, such as platform/ecs-master"
	}
	return "", ""
}

// branch is the name of one branch.
func branch() shape[string] {
	return word[string](func(s string) (string, string) {
		switch {
		case strings.HasPrefix(s, "refs/"):
			return "must be the branch's name alone", "write it without refs/heads/"
		case strings.ContainsAny(s, "*?["):
			return "must be one branch, not a pattern", ""
		case strings.ContainsAny(s, " ~^:\\") || strings.Contains(s, "..") || strings.Contains(s, "//") || strings.Contains(s, "@{") ||
			strings.HasPrefix(s, "-") || strings.HasPrefix(s, "/") || strings.HasSuffix(s, "/") || strings.HasSuffix(s, ".") || strings.HasSuffix(s, ".lock"):
			return quoted(s) + " cannot be the name of a branch", ""
		}
		return "", ""
	})
}

// typeGlob is a type of Terraform's resources, or a glob over them.
func typeGlob() shape[string] {
	return pattern[string](`^[a-z0-9_*?\[\]-]+$`, "is not a type of resources", "give the type alone, such as aws_kms_grant or aws_kms_*", func(s string) (string, string) {
		if _, err := path.Match(s, ""); err != nil {
			return quoted(s) + " is not a glob", "is a bracket open?"
		}
		return "", ""
	})
}

// addressGlob is the address of a resource, or a glob over addresses. Keys of for_each may hold
// anything, white space too.
func addressGlob() shape[string] {
	return word[string](func(s string) (string, string) {
		if !strings.Contains(s, ".") || strings.HasPrefix(s, ".") || strings.HasPrefix(s, "[") {
			return quoted(s) + " is not the address of a resource", "write it as in module.kms.aws_kms_grant.* or aws_db_instance.main"
		}
		return "", ""
	})
}

// resourceGlob is a glob over types, or, with a dot in it, over addresses.
func resourceGlob() shape[string] {
	types, addresses := typeGlob(), addressGlob()
	return shape[string]{
		schema: schema{Type: "string", MinLength: 1, MaxLength: maxText},
		read: func(r *reader, at string, n ast.Node, into *string) {
			if value, ok := text(n); ok && strings.Contains(value, ".") {
				addresses.read(r, at, n, into)
				return
			}
			types.read(r, at, n, into)
		},
	}
}

// clusterRule is for names and ARNs of ECS clusters:
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_CreateCluster.html.
func clusterRule(s string) (wrong, hint string) {
	name := s
	if _, after, arn := strings.Cut(s, ":cluster/"); arn && strings.HasPrefix(s, "arn:aws") {
		name = after
	}
	odd := func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_'
	}
	if name == "" || len(name) > 255 || strings.ContainsFunc(name, odd) {
		return quoted(s) + " cannot be the name of an ECS cluster", "give its name or its ARN"
	}
	return "", ""
}

// groupRule is for names of Auto Scaling groups.
func groupRule(s string) (wrong, hint string) {
	if len(s) > 255 || strings.Contains(s, ":") {
		return quoted(s) + " cannot be the name of an Auto Scaling group", "give the name, not the ARN"
	}
	return "", ""
}

// headerName is the name of an HTTP header, one that requests and answers may carry freely.
func headerName() shape[string] {
	return pattern[string]("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$", "is not the name of a header", "")
}

func cookieRule(s string) (wrong, hint string) {
	name, _, ok := strings.Cut(s, "=")
	if !ok || name == "" || strings.ContainsAny(s, " ;,\"\\") {
		return "must be one cookie, name=value", ""
	}
	return "", ""
}

func regexpRule(s string) (wrong, hint string) {
	if _, err := regexp.Compile(s); err != nil {
		return quoted(s) + " is not a regular expression", "backslashes need single quotes around the text"
	}
	return "", ""
}

// hostRule is for names of hosts as they stand in a URL.
func hostRule(s string) (wrong, hint string) {
	if strings.ContainsAny(s, " /:@[]") {
		return "must be the name of a host alone", "write it without scheme and port"
	}
	return "", ""
}

// addressRule is for addresses with or without a port.
func addressRule(s string) (wrong, hint string) {
	if _, ok := parseAddress(s); !ok {
		return quoted(s) + " is not an address", "write it as in 10.20.0.5 or 10.20.0.5:80"
	}
	return "", ""
}

// parseAddress reads an address with or without a port; port 0 says there was none.
func parseAddress(s string) (netip.AddrPort, bool) {
	if pair, err := netip.ParseAddrPort(s); err == nil {
		return pair, pair.Port() != 0 && pair.Addr().Zone() == ""
	}
	addr, err := netip.ParseAddr(s)
	return netip.AddrPortFrom(addr, 0), err == nil && addr.Zone() == ""
}

// parsePort reads a port from 1 to 65535, or 0 where it may be chosen.
func parsePort(s string) (uint16, bool) {
	port, err := strconv.ParseUint(s, 10, 16)
	return uint16(port), err == nil && s[0] != '+'
}
