package plan

// Object is a thing in the world outside, as a state or a plan names it. Two objects are the same thing if
// type and key are equal and neither account nor region tells them apart.
type Object struct {
	Type    string // of the resource, such as aws_kms_grant
	Key     string // what identifies it for real: for a grant its grant_id, else its ARN, else its id
	Account string // twelve digits; "" when it cannot be told
	Region  string // "" when it cannot be told, or when the thing has none
	Address string // in the configuration
}

// Same reports whether both are the same thing, as far as can be told: what is not known of account and
// region may be equal.
func (o Object) Same(other Object) bool {
	may := func(a, b string) bool { return a == "" || b == "" || a == b }
	return o.Type == other.Type && o.Key != "" && o.Key == other.Key && may(o.Account, other.Account) && may(o.Region, other.Region)
}
