package gates

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/upgradegate/upgradegate/upgrade/cloud"
)

// maxRepairs is how many repairs are written out.
const maxRepairs = 10

// repair is what puts one thing right: a grant to be made, or commands for a key.
type repair struct {
	grant    cloud.Grant
	commands []string // instead of a grant
}

// revive is what makes a key usable that is not.
func revive(key cloud.Key) []repair {
	where := " --region " + quoted(regionIn(key.ARN)) + " --key-id " + quoted(key.ARN)
	switch key.State {
	case "Disabled":
		return []repair{{commands: []string{"aws kms enable-key" + where}}}
	case "PendingDeletion":
		return []repair{{commands: []string{"aws kms cancel-key-deletion" + where, "aws kms enable-key" + where}}}
	}
	return nil
}

// command is the repair as commands of the AWS command line, ready for a shell.
func (r repair) command() string {
	if len(r.commands) > 0 {
		return strings.Join(r.commands, "\n")
	}
	g := r.grant
	words := []string{
		"aws kms create-grant", "--region " + quoted(regionIn(g.KeyARN)), "--key-id " + quoted(g.KeyARN), "--grantee-principal " + quoted(g.Grantee),
	}
	if g.Retirer != "" {
		words = append(words, "--retiring-principal "+quoted(g.Retirer))
	}
	operations := slices.Sorted(slices.Values(g.Operations))
	for i, op := range operations {
		operations[i] = quoted(op)
	}
	words = append(words, "--operations "+strings.Join(operations, " "))
	if g.Constraints != "" {
		words = append(words, "--constraints "+quoted(g.Constraints))
	}
	if g.Name != "" { // so that a second try does not make a second grant
		words = append(words, "--name "+quoted(g.Name))
	}
	return strings.Join(words, " ")
}

// terraform is the repair as Terraform; "" for what Terraform has no resource for.
func (r repair) terraform() string {
	g := r.grant
	if g.KeyARN == "" {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "resource \"aws_kms_grant\" %s {\n", hcl(label(grantName(g))))
	operations := slices.Sorted(slices.Values(g.Operations))
	for i, op := range operations {
		operations[i] = hcl(op)
	}
	for _, argument := range []struct{ name, value string }{
		{"name", hcl(g.Name)},
		{"key_id", hcl(g.KeyARN)},
		{"grantee_principal", hcl(g.Grantee)},
		{"retiring_principal", hcl(g.Retirer)},
		{"operations", "[" + strings.Join(operations, ", ") + "]"},
	} {
		if argument.value != hcl("") {
			fmt.Fprintf(&b, "  %-18s = %s\n", argument.name, argument.value)
		}
	}
	constraints(&b, g.Constraints)
	b.WriteString("}")
	return b.String()
}

// constraints writes a grant's constraints as a block.
func constraints(b *strings.Builder, text string) {
	var c struct {
		Equals map[string]string `json:"EncryptionContextEquals"`
		Subset map[string]string `json:"EncryptionContextSubset"`
	}
	if text == "" || json.Unmarshal([]byte(text), &c) != nil {
		return // none, or of a form that the resource has no words for
	}
	for _, kind := range []struct {
		name string
		of   map[string]string
	}{{"encryption_context_equals", c.Equals}, {"encryption_context_subset", c.Subset}} {
		if len(kind.of) == 0 {
			continue
		}
		fmt.Fprintf(b, "  constraints {\n    %s = {\n", kind.name)
		for _, key := range slices.Sorted(maps.Keys(kind.of)) {
			fmt.Fprintf(b, "      %s = %s\n", hcl(key), hcl(kind.of[key]))
		}
		b.WriteString("    }\n  }\n")
	}
}

// grantAnew is a grant that there was not before, of all that a launch may need.
func grantAnew(group, key, role string) repair {
	return repair{grant: cloud.Grant{
		Name: grantNameFor(group), KeyARN: key, Grantee: role, Operations: slices.Concat(neededOperations(), advisedOperations()),
	}}
}

// grantNameFor is the name of a grant that there was not before, from the characters that KMS allows.
func grantNameFor(group string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', strings.ContainsRune(":/_-", r):
			return r
		}
		return '-'
	}, group) + "-ebs"
}

// label makes a name of a Terraform resource.
func label(name string) string {
	words := strings.FieldsFunc(strings.ToLower(name), func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') })
	text := strings.Join(words, "_")
	if text == "" || text[0] >= '0' && text[0] <= '9' {
		text = "grant_" + text
	}
	return text
}

// quoted quotes a word for a POSIX shell where that is needed.
func quoted(word string) string {
	if regexp.MustCompile(`^[\w@%+=:,./-]+$`).MatchString(word) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// hcl writes a text as Terraform does.
func hcl(text string) string {
	text = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\r", `\r`, "\t", `\t`, "${", "$${", "%{", "%%{").Replace(text)
	return `"` + text + `"`
}
