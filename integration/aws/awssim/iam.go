package awssim

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

func iamActions() map[string]action {
	return map[string]action{"GetRole": getRole}
}

// getRole describes a role of the caller's account by its name.
func getRole(c *call) (any, error) {
	name := c.p.str("RoleName")
	for _, arn := range sortedKeys(c.roles) {
		path := arn[strings.Index(arn, ":role/")+len(":role"):]
		last := strings.LastIndexByte(path, '/')
		if accountOf(arn) != c.who.Account || path[last+1:] != name {
			continue
		}
		trusted := fmt.Sprintf(`"AWS":"arn:aws:iam::%s:root"`, c.who.Account)
		if isServiceLinked(arn) {
			trusted = `"Service":"autoscaling.amazonaws.com"`
		}
		trust := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{` + trusted + `},"Action":"sts:AssumeRole"}]}`
		return []node{nd("Role", tx("Path", path[:last+1]), tx("RoleName", name), tx("RoleId", "AROA"+short(arn)), tx("Arn", arn),
			tx("CreateDate", time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC).Format(time.RFC3339)),
			tx("AssumeRolePolicyDocument", url.QueryEscape(trust)), num("MaxSessionDuration", 3600))}, nil
	}
	return nil, &apiError{http.StatusNotFound, "NoSuchEntity", fmt.Sprintf("The role with name %s cannot be found.", name)}
}
