package storetest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/plan"
)

func stateTests() map[string]func(*bench) {
	return map[string]func(*bench){
		"readings_read_back":                  testReadings,
		"failed_try_keeps_what_was_read":      testFailedTry,
		"reading_replaces_what_a_state_owned": testReplaced,
		"owners_by_what_may_be_equal":         testOwners,
		"states_are_forgotten":                testForgotten,
		"large_state":                         testLargeState,
		"readings_at_the_same_time":           testReadingsAtOnce,
		"reading_that_is_cut_off":             testReadingCutOff,
	}
}

func grant(state upgrade.StateName, key, address string) upgrade.Owned {
	return upgrade.Owned{State: state, Type: "aws_kms_grant", Key: key, Account: "111111111111", Region: "eu-west-2", Address: address}
}

// save keeps a good reading of a state.
func (b *bench) save(t *testing.T, state upgrade.StateName, owned ...upgrade.Owned) {
	t.Helper()
	if err := b.SaveReading(t.Context(), upgrade.Reading{State: state, ReadAt: b.now, TriedAt: b.now}, owned); err != nil {
		t.Fatal(err)
	}
}

// places says in which states and under which addresses the objects are.
func (b *bench) places(t *testing.T, objects ...plan.Object) (places []string) {
	t.Helper()
	owners, err := b.Owners(t.Context(), objects)
	if err != nil {
		t.Fatal(err)
	}
	for _, owner := range owners {
		places = append(places, string(owner.State)+" "+owner.Address)
	}
	return places
}

func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func testReadings(b *bench) {
	t := b.t
	want := upgrade.Reading{}
	fill(t, &want)
	want.Problem, want.Objects = "", 1
	owned := upgrade.Owned{}
	fill(t, &owned)
	owned.State = want.State
	if err := b.SaveReading(t.Context(), want, []upgrade.Owned{owned, owned, {State: want.State, Type: "x"}}); err != nil {
		t.Fatal(err)
	}
	got, err := b.Readings(t.Context())
	if diff := cmp.Diff([]upgrade.Reading{want}, got); err != nil || diff != "" {
		t.Fatalf("read back with %v (-want +got):\n%s", err, diff)
	}
	owners, err := b.Owners(t.Context(), []plan.Object{{Type: owned.Type, Key: owned.Key}})
	if diff := cmp.Diff([]upgrade.Owned{owned}, owners); err != nil || diff != "" {
		t.Fatalf("owner read back with %v (-want +got):\n%s", err, diff)
	}
	for name, bad := range map[string]upgrade.Reading{
		"no_name": {ReadAt: b.now, TriedAt: b.now}, "no_time": {State: "s"}, "never_read": {State: "s", TriedAt: b.now},
	} {
		t.Log(name)
		refused(t, b.SaveReading(t.Context(), bad, nil), upgrade.CodeInvalid)
	}
}

func testFailedTry(b *bench) {
	t := b.t
	before := upgrade.Reading{State: "network", Account: "111111111111", ReadAt: b.now, TriedAt: b.now, Lineage: "l", Serial: 7}
	if err := b.SaveReading(t.Context(), before, []upgrade.Owned{grant("network", "g", "a")}); err != nil {
		t.Fatal(err)
	}
	later := b.now.Add(time.Hour)
	for _, state := range []upgrade.StateName{"network", "new/staging"} {
		failed := upgrade.Reading{State: state, TriedAt: later, Problem: "no answer", Lineage: "other", Account: "999999999999"}
		if err := b.SaveReading(t.Context(), failed, nil); err != nil {
			t.Fatal(err)
		}
	}
	before.TriedAt, before.Problem, before.Objects = later, "no answer", 1
	got, err := b.Readings(t.Context())
	want := []upgrade.Reading{before, {State: "new/staging", TriedAt: later, Problem: "no answer"}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Fatalf("%v (-want +got):\n%s", err, diff)
	}
	same(t, "owners", b.places(t, plan.Object{Type: "aws_kms_grant", Key: "g"}), []string{"network a"})
}

func testReplaced(b *bench) {
	t := b.t
	all := []plan.Object{{Type: "aws_kms_grant", Key: "g1"}, {Type: "aws_kms_grant", Key: "g2"}, {Type: "aws_kms_grant", Key: "g3"}}
	b.save(t, "a/staging", grant("a/staging", "g1", "one"), grant("a/staging", "g2", "two"))
	b.save(t, "b/staging", grant("b/staging", "g1", "mine"))
	same(t, "at first", b.places(t, all...), []string{"a/staging one", "a/staging two", "b/staging mine"})
	moved := grant("a/staging", "g2", "two")
	moved.Region = "eu-west-1"
	b.save(t, "a/staging", moved, grant("a/staging", "g3", "three"))
	same(t, "then", b.places(t, all...), []string{"a/staging two", "a/staging three", "b/staging mine"})
	here := all[1]
	here.Region = "eu-west-2"
	same(t, "in another region", b.places(t, here), nil)
	b.save(t, "a/staging")
	same(t, "at last", b.places(t, all...), []string{"b/staging mine"})
}

func testOwners(b *bench) {
	t := b.t
	whole, bare := grant("a/staging", "g", "whole"), grant("b/staging", "g", "bare")
	bare.Account, bare.Region = "", ""
	b.save(t, "a/staging", whole)
	b.save(t, "b/staging", bare)
	for name, test := range map[string]struct {
		object plan.Object
		want   []string
	}{
		"same":           {plan.Object{Type: "aws_kms_grant", Key: "g", Account: "111111111111", Region: "eu-west-2"}, []string{"a/staging whole", "b/staging bare"}},
		"not_known":      {plan.Object{Type: "aws_kms_grant", Key: "g"}, []string{"a/staging whole", "b/staging bare"}},
		"other_account":  {plan.Object{Type: "aws_kms_grant", Key: "g", Account: "222222222222"}, []string{"b/staging bare"}},
		"other_region":   {plan.Object{Type: "aws_kms_grant", Key: "g", Region: "eu-west-1"}, []string{"b/staging bare"}},
		"other_type":     {plan.Object{Type: "aws_kms_key", Key: "g"}, nil},
		"part_of_a_key":  {plan.Object{Type: "aws_kms_grant", Key: "G"}, nil},
		"without_a_key":  {plan.Object{Type: "aws_kms_grant"}, nil},
		"no_such_object": {plan.Object{Type: "aws_kms_grant", Key: "%"}, nil},
	} {
		same(t, name, b.places(t, test.object, test.object), test.want)
	}
	same(t, "none asked", b.places(t), nil)
}

func testForgotten(b *bench) {
	t := b.t
	b.save(t, "old", grant("old", "g", "x"))
	b.save(t, "kept", grant("kept", "g", "y"))
	if err := b.ForgetStates(t.Context(), "old", "unknown"); err != nil {
		t.Fatal(err)
	}
	if err := b.ForgetStates(t.Context()); err != nil {
		t.Fatal(err)
	}
	same(t, "owners", b.places(t, plan.Object{Type: "aws_kms_grant", Key: "g"}), []string{"kept y"})
	readings, err := b.Readings(t.Context())
	if err != nil || len(readings) != 1 || readings[0].State != "kept" {
		t.Errorf("left: %v (%v)", readings, err)
	}
}

// things are n things of a state.
func things(state upgrade.StateName, n int) []upgrade.Owned {
	owned := make([]upgrade.Owned, n)
	for i := range owned {
		owned[i] = grant(state, fmt.Sprintf("%064x", i), fmt.Sprintf("module.grants[%d].aws_kms_grant.this", i))
	}
	return owned
}

// testLargeState reads a large state twice. What did not change is not written again.
func testLargeState(b *bench) {
	t := b.t
	const n = 50_000
	owned := things("big", n)
	began := time.Now() //nolint:forbidigo // how long it takes is shown
	b.save(t, "big", owned...)
	first := time.Since(began) //nolint:forbidigo // see above
	owned[n/2].Address = "moved"
	began = time.Now() //nolint:forbidigo // see above
	b.save(t, "big", owned...)
	t.Logf("%d things: %s at first, %s with one moved", n, first.Round(time.Millisecond), time.Since(began).Round(time.Millisecond)) //nolint:forbidigo // see above
	same(t, "moved", b.places(t, plan.Object{Type: "aws_kms_grant", Key: owned[n/2].Key}), []string{"big moved"})
	same(t, "last", b.places(t, plan.Object{Type: "aws_kms_grant", Key: owned[n-1].Key}), []string{"big " + owned[n-1].Address})
	readings, err := b.Readings(t.Context())
	if err != nil || len(readings) != 1 || readings[0].Objects != n {
		t.Errorf("readings %v (%v)", readings, err)
	}
}

// testReadingsAtOnce lets two write one state: it holds what one of them read, whole.
func testReadingsAtOnce(b *bench) {
	t := b.t
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			owned := make([]upgrade.Owned, 0, 20)
			for j := range 20 {
				owned = append(owned, grant("s", fmt.Sprint(j), fmt.Sprintf("by-%d", i)))
			}
			if err := b.SaveReading(t.Context(), upgrade.Reading{State: "s", ReadAt: b.now, TriedAt: b.now}, owned); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	var first string
	for j := range 20 {
		got := b.places(t, plan.Object{Type: "aws_kms_grant", Key: fmt.Sprint(j)})
		if j == 0 && len(got) == 1 {
			first = got[0]
		}
		same(t, fmt.Sprintf("thing %d", j), got, []string{first})
	}
}

// testReadingCutOff ends the context in the middle: what was there before is there still.
func testReadingCutOff(b *bench) {
	t := b.t
	b.save(t, "s", grant("s", "g", "before"))
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
	defer cancel()
	later := b.now.Add(time.Hour)
	if err := b.SaveReading(ctx, upgrade.Reading{State: "s", ReadAt: later, TriedAt: later}, things("s", 100_000)); err == nil {
		t.Fatal("100,000 things were written in 5 ms")
	}
	same(t, "owners", b.places(t, plan.Object{Type: "aws_kms_grant", Key: "g"}), []string{"s before"})
	readings, err := b.Readings(t.Context())
	if err != nil || len(readings) != 1 || !readings[0].ReadAt.Equal(b.now) || readings[0].Objects != 1 {
		t.Errorf("readings %v (%v)", readings, err)
	}
}
