package sender

import (
	"strings"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// TestSignatureOfThePublishedVector signs the example that Standard Webhooks' own libraries are tested with.
func TestSignatureOfThePublishedVector(t *testing.T) {
	keys := []upgrade.HookKey{{Secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}}
	got, err := sign(keys, "msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`))
	if want := "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; err != nil || got != want {
		t.Errorf("signed %q (%v), want %q", got, err, want)
	}
}

func TestSignatureOfEachKeyThatIsGood(t *testing.T) {
	now := time.Unix(1614265330, 0)
	keys := []upgrade.HookKey{{Secret: newSecret()}, {Secret: newSecret(), Until: now.Add(time.Second)}, {Secret: newSecret(), Until: now}}
	got, err := sign(keys, "id", now, nil)
	if err != nil || strings.Count(got, "v1,") != 2 {
		t.Errorf("signed %q (%v), want two signatures", got, err)
	}
	if _, err := sign(keys[2:], "id", now, nil); upgrade.CodeOf(err) != upgrade.CodeInvalid {
		t.Errorf("signed with a secret that has ended: %v", err)
	}
}

func TestSecretsThatCannotSign(t *testing.T) {
	for name, secret := range map[string]upgrade.Secret{
		"empty": "", "short": "whsec_c2hvcnQ=", "no_base64": "whsec_?", "long": upgrade.Secret("whsec_" + strings.Repeat("AAAA", 22)),
	} {
		if err := CheckSecret(secret); upgrade.CodeOf(err) != upgrade.CodeInvalid || secret != "" && strings.Contains(err.Error(), secret.Reveal()) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := CheckSecret(newSecret()); err != nil {
		t.Errorf("a new one: %v", err)
	}
}
