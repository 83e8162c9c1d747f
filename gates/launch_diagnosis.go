package gates

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/cloud"
)

// diagnosis is what a failed launch comes from.
type diagnosis struct {
	words  string // "": nobody knows
	proven bool
	about  []string // what it comes of
	advice string
	mend   bool // the keys are it, so what mends them helps
}

// failed stops the relaunching at once and says no in AWS's own words.
func (w *watch) failed(ctx context.Context, activity cloud.Activity) error {
	if !w.real { // there, the instance is taken back in a moment
		if err := w.aws.SetDesired(ctx, w.name, 0); err != nil {
			w.rec.Warnf("the test group %s could not be kept from launching until it was removed: %s", w.name, upgrade.Public(err))
			w.rec.Logf("set desired 0: %v", err)
		}
	}
	words := strings.TrimSpace(activity.StatusMessage)
	if words == "" {
		words = strings.TrimSpace(activity.Description)
	}
	w.rec.Quote("EC2 Auto Scaling", words, activity.End)
	if id := instanceIn(activity.Description); id != "" {
		w.fact("Instance", "%s", id)
		if w.instance == "" {
			w.instance = id
			w.reach(pieceRunning)
		}
	} else {
		w.fact("Instance", "none was made: AWS refused at once")
	}
	if !activity.Start.IsZero() && activity.End.After(activity.Start) {
		w.fact("AWS gave up", "%s after its beginning", activity.End.Sub(activity.Start))
	}
	d := diagnose(words, w.pre)
	switch {
	case d.words == "":
	case d.proven:
		w.rec.Fact("Cause", "%s", d.words)
		for _, key := range d.about {
			w.rec.About(key)
		}
	default:
		w.rec.Fact("Likely cause", "%s", d.words)
	}
	if d.mend && w.mend(w.pre, w.rec) {
		d.advice = "give the role what it lacks with the command under Repair, then run the gates again"
	}
	return Advise(FailBrief(brief("%s cannot start new instances", w.env),
		"a test launch through %s ended %s: “%s”", w.through(), strings.ToLower(activity.Status), words), "%s", d.advice)
}

// instanceIn returns the id of the instance that an activity launched; "" when it was refused before there
// was one.
func instanceIn(description string) string {
	return regexp.MustCompile(`\bi-[0-9a-f]{8,17}\b`).FindString(description)
}

// diagnose reads AWS's words beside what was seen of the keys. Two of its messages mislead: both come of a
// role that may not use a key, of which the one blames the client and the other the key's state. It is proven
// only where the keys show it.
func diagnose(words string, pre *preflight) diagnosis {
	if strings.Contains(words, "Client.InvalidKMSKey.") || strings.Contains(words, "Client.InternalError") {
		return diagnoseKey(pre)
	}
	for _, known := range []struct{ sign, words, advice string }{
		{"InvalidAMIID", "the launch template names an image that does not exist or is not shared with this account", "let the launch template name an image that there is"},
		{"image id", "the launch template names an image that does not exist or is not shared with this account", "let the launch template name an image that there is"},
		{"InvalidGroup", "the launch template names a security group that does not exist", "let the launch template name security groups that there are"},
		{"security group", "the launch template names a security group that does not exist or is of another network", "let the launch template name security groups that there are"},
		{"vCPU", "the account may have no more instances of this type", "ask AWS for more, or stop instances that nobody needs"},
		{"LimitExceeded", "the account may have no more of something that the launch needs", "ask AWS for more, or remove what nobody needs"},
		{"InsufficientFreeAddresses", "the subnet has no free address", "make room in the subnet"},
		{"not authorized", "a permission is missing for who launches", "look at the role by which the group launches, and at its instance profile"},
		{"nstance profile", "the launch template names an instance profile that does not exist", "let the launch template name an instance profile that there is"},
		{"apacity", "AWS had no capacity of this type in the zone", "run the gates again later"},
	} {
		if strings.Contains(words, known.sign) {
			return diagnosis{words: known.words, advice: known.advice}
		}
	}
	return diagnosis{}
}

func diagnoseKey(pre *preflight) diagnosis {
	switch {
	case pre != nil && len(pre.lacks) > 0:
		return diagnosis{
			words: strings.Join(pre.lacks, "; "), proven: true, mend: true, about: pre.without,
			advice: "look at the key policy, which denies it, then run the gates again",
		}
	case pre != nil && pre.problem == nil && len(pre.keys) > 0:
		return diagnosis{
			words: fmt.Sprintf("the service-linked role may not use a KMS key of the image, although %s give it all that it needs: a grant that was just made counts after minutes only, and a policy of the organisation may deny it",
				counted(len(pre.keys), "key")+"'s grants and policies"),
			advice: "run the gates again in a few minutes",
		}
	}
	return diagnosis{
		words:  "the service-linked role may not use the KMS key of the image: compare its grants and the key policy",
		advice: "look at the grants on the key of the image, and whether the key is enabled",
	}
}
