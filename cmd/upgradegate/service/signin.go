package service

import (
	"github.com/upgradegate/upgradegate/config"
	"github.com/upgradegate/upgradegate/integration/oidc"
	"github.com/upgradegate/upgradegate/server"
	"github.com/upgradegate/upgradegate/upgrade"
)

// signIn wires how people sign in, and what they may do.
func signIn(c *config.Config, out *outside) (server.SignIn, error) {
	in := server.SignIn{Limits: server.SessionLimits{Idle: c.SignIn.Idle, Absolute: c.SignIn.Absolute}, Members: out.members, Roles: server.Roles{Members: map[int]upgrade.Role{}}}
	for _, member := range c.Members {
		in.Roles.Members[member.Level] = member.Role
	}
	for _, role := range c.Roles {
		in.Roles.Rules = append(in.Roles.Rules, server.RoleRule{
			Group: role.Group, Level: role.Level, Claim: role.OIDCGroup, User: role.User, Subject: role.Subject, Role: role.Role, Projects: role.Projects,
		})
	}
	if glass := c.SignIn.BreakGlass; glass != nil {
		in.BreakGlass = &server.BreakGlass{Name: glass.Name, Hash: glass.Hash}
	}
	add := func(name string, app config.Application, more oidc.Config) error {
		more.Name, more.ClientID, more.Secret, more.Redirect = name, app.ID, app.Secret, c.Server.PublicURL+"/login/"+name+"/callback"
		provider, err := oidc.New(more)
		if err != nil {
			return err
		}
		in.Providers = append(in.Providers, server.Provider{Name: name, Title: app.Title, OIDC: provider})
		return nil
	}
	if app := c.SignIn.GitLab; app != nil {
		if err := add("gitlab", *app, oidc.Config{Issuer: c.GitLab.URL, GitLab: true}); err != nil {
			return in, err
		}
	}
	for _, one := range c.SignIn.OIDC {
		if err := add(one.Name, one.Application, oidc.Config{Issuer: one.Issuer, Scopes: one.Scopes, Groups: one.Groups}); err != nil {
			return in, err
		}
	}
	return in, nil
}
