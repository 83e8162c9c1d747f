package gates

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/plan"
)

// Gate is a configured test that may say no.
type Gate struct {
	Name        upgrade.GateName
	Kind        string
	Stage       upgrade.Stage
	Environment upgrade.EnvName
	Stacks      []upgrade.StackName // whose runs ask it; empty: all
	Required    bool
	TouchesLive bool          // it touches the running system: S5
	Early       bool          // asked once before settling as well
	Settle      time.Duration // to wait after the last change before its answer means something
	GoodFor     time.Duration // how long an answer counts; 0: while nothing changes
	Deadline    time.Duration // for one asking, tries included
	Skip        *Skip
	Before      Before        // nil: it needs no look before an apply
	During      During        // of the stage during, and of no other
	Resume      Resume        // of the stage during; nil: what it watched before a restart is lost
	Check       Check         // nil with the stage during
	Learn       Learn         // nil: its results leave nothing open
	Every       time.Duration // of the stage standing: how often it is asked
	Settings    string        // digest of its settings; of the stage standing: what it said under others does not count
	PerStack    bool          // of the stage standing: it is asked of each stack by itself
}

// Skip says why a gate is not asked, and until when.
type Skip struct {
	Reason string
	Until  time.Time
}

// AppliesTo reports whether runs of the stack ask the gate.
func (g Gate) AppliesTo(stack upgrade.StackName) bool {
	return len(g.Stacks) == 0 || slices.Contains(g.Stacks, stack)
}

// Input is what a gate is asked about.
type Input struct {
	Run   upgrade.Run
	Stack upgrade.Stack
	Gate  upgrade.GateName
	Round int
	Apply int // the run's apply that it is about, from 1; for the stages plan, before and during
	Early bool
	// Standing: it is asked again and again, of no run. Of Run, only Environment is set then.
	Standing bool
	Plan     plan.Summary // of the run's last plan: at the stage "plan" to be judged, after it what was applied
	// Befores are the results of the stage before at the start of what is judged. The runner looks up
	// each gate's own there, by name and environment, and hands it its memo.
	Befores []upgrade.Result
	Memo    string // what the gate's own Before kept, see Befores; "": nothing
	// Intend writes down, before it is done, what a gate is about to make outside, so that it can be seen even
	// if nobody lives to tell (S4). What cannot be written down is not done. nil: nobody keeps it.
	Intend func(ctx context.Context, what string) error
	// Marks returns what Terraform has done in the apply so far, in the order of time; nil where nobody knows.
	Marks func(ctx context.Context) ([]upgrade.Mark, error)
	// Replan makes a new plan of what was applied, without applying it; nil where there is none to make.
	Replan func(ctx context.Context) (plan.Summary, error)
}

// intend writes down what is about to be made.
func (in Input) intend(ctx context.Context, format string, args ...any) error {
	if in.Intend == nil {
		return nil
	}
	if err := in.Intend(ctx, fmt.Sprintf("%s: ", in.Gate)+fmt.Sprintf(format, args...)); err != nil {
		return fmt.Errorf("write down what is about to be made: %w", err)
	}
	return nil
}

// Before looks at what there is before an apply changes it. The memo is kept with the run and comes
// back in Input.Memo; it holds no secret. When it could not tell, the gate cannot pass.
type Before func(ctx context.Context, in Input, rec *Recorder) (memo string, err error)

// During starts to watch and returns at once. The watch goes on when ctx has ended, until End. An error
// means that nothing is watched: there will be no End, and the gate could not tell.
type During func(ctx context.Context, in Input) (Watch, error)

// Resume is During for an apply that is watched since begun by another process, which has ended: it goes on with
// what is not lost. What is lost, nobody can tell.
type Resume func(ctx context.Context, in Input, begun time.Time) (Watch, error)

// Watch is a During at work.
type Watch interface {
	// End ends the watch and judges everything from its start until now, as a Check does: nil, an error
	// by Failf, or any other. It is called once, and leaves nothing running even when ctx has ended.
	End(ctx context.Context, rec *Recorder) error
}

// Check asks once. It writes what it sees into the recorder, honours ctx, and cleans up after itself
// even when ctx has ended.
type Check func(ctx context.Context, in Input, rec *Recorder) error

// Learn asks again what a result had left open with [Recorder.Leave], and writes what is known now over the
// result's evidence. The text is for the journal, one sentence without full stop; empty: nothing new. What is
// still open it leaves again.
type Learn func(ctx context.Context, pending string, rec *Recorder) (text string, err error)

// failure is a "no": the thing is wrong, and we are sure.
type failure struct {
	msg, brief, hint string
	agreeable        bool
}

func (f *failure) Error() string { return f.msg }

// Failf returns the error that says no. The text is one sentence without a full stop, with the
// limit beside the value.
func Failf(format string, args ...any) error {
	return &failure{msg: fmt.Sprintf(format, args...)}
}

// FailBrief is Failf with the effect in at most 80 characters for the headline, such as "staging
// cannot start instances".
func FailBrief(brief, format string, args ...any) error {
	return &failure{msg: fmt.Sprintf(format, args...), brief: brief}
}

// AskYes is FailBrief for what a release manager may agree to: the run waits for a yes to exactly this
// change instead of being blocked, unless something else stands against it too.
func AskYes(brief, format string, args ...any) error {
	return &failure{msg: fmt.Sprintf(format, args...), brief: brief, agreeable: true}
}

// Advise adds to an error that says no what to do about it, in one sentence: the run says so as its next
// step. Other errors have hints of their own and stay as they are.
func Advise(no error, format string, args ...any) error {
	var f *failure
	if !errors.As(no, &f) {
		return no
	}
	advised := *f
	advised.hint = fmt.Sprintf(format, args...)
	return &advised
}

// Failed reports whether err says no, as opposed to "could not tell".
func Failed(err error) bool {
	var f *failure
	return errors.As(err, &f)
}
