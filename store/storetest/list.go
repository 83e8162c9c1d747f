package storetest

import (
	"fmt"
	"slices"
	"sync"

	"github.com/upgradegate/upgradegate/upgrade"
)

func listTests() map[string]func(*bench) {
	return map[string]func(*bench){
		"list_runs_by_filter":       testRunFilter,
		"list_runs_by_page":         testRunPages,
		"list_events_by_page":       testEventPages,
		"list_deliveries_by_fate":   testDeliveryFilter,
		"list_has_an_end":           testListEnd,
		"list_answers_of_many_runs": testManyAnswers,
		"ping":                      testPing,
	}
}

func testRunFilter(b *bench) {
	t := b.t
	one := b.start(t, "a", "t1")
	b.start(t, "a", "t2")
	b.start(t, "b", "t1")
	b.move(t, one, upgrade.PhasePreparing)
	b.must(t, b.pen, upgrade.Step{
		Starts:  []upgrade.Run{{ProjectID: 8, Stack: "c", Environment: "staging", Tree: "t1"}},
		Answers: map[upgrade.RunID][]upgrade.Answer{2: {{Ref: "m", Commit: "merge"}, {Ref: "n", Commit: "merge"}}},
	})
	for name, test := range map[string]struct {
		filter upgrade.RunFilter
		want   []upgrade.RunID
	}{
		"all":               {upgrade.RunFilter{}, []upgrade.RunID{4, 3, 2, 1}},
		"stack":             {upgrade.RunFilter{Stack: "a"}, []upgrade.RunID{2, 1}},
		"upgrade":           {upgrade.RunFilter{Upgrade: one.Upgrade}, []upgrade.RunID{3, 1}},
		"project":           {upgrade.RunFilter{ProjectID: 8}, []upgrade.RunID{4}},
		"tree":              {upgrade.RunFilter{Tree: "t1"}, []upgrade.RunID{4, 3, 1}},
		"tree_of_a_project": {upgrade.RunFilter{Tree: "t1", ProjectID: 7}, []upgrade.RunID{3, 1}},
		"commit":            {upgrade.RunFilter{Commit: "c-t1"}, []upgrade.RunID{3, 1}},
		"commit_answered":   {upgrade.RunFilter{Commit: "merge"}, []upgrade.RunID{2}},
		"phase":             {upgrade.RunFilter{Phases: []upgrade.Phase{upgrade.PhasePreparing}}, []upgrade.RunID{1}},
		"phases":            {upgrade.RunFilter{Phases: []upgrade.Phase{upgrade.PhasePreparing, upgrade.PhaseQueued}, Stack: "a"}, []upgrade.RunID{2, 1}},
		"before":            {upgrade.RunFilter{Before: 3}, []upgrade.RunID{2, 1}},
		"limit":             {upgrade.RunFilter{Limit: 1}, []upgrade.RunID{4}},
		"none":              {upgrade.RunFilter{Stack: "x"}, nil},
	} {
		runs, err := b.Runs(t.Context(), test.filter)
		if err != nil {
			t.Fatal(err)
		}
		var got []upgrade.RunID
		for _, run := range runs {
			got = append(got, run.ID)
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: got %v, want %v", name, got, test.want)
		}
	}
}

func testRunPages(b *bench) {
	t := b.t
	for i := range 60 {
		b.must(t, b.pen, upgrade.Step{Starts: []upgrade.Run{{ProjectID: 7, Stack: "s", Environment: "staging", Tree: upgrade.Tree(fmt.Sprint(i))}}})
	}
	want := upgrade.RunID(60)
	for _, size := range []int{50, 10, 0} {
		page, err := b.Runs(t.Context(), upgrade.RunFilter{Before: want + 1})
		if err != nil || len(page) != size {
			t.Fatalf("page of %d (%v), want %d", len(page), err, size)
		}
		for _, run := range page {
			if run.ID != want {
				t.Fatalf("run %d, want %d", run.ID, want)
			}
			want--
		}
	}
}

func testEventPages(b *bench) {
	t := b.t
	b.start(t, "a", "t")
	b.start(t, "b", "t")
	var notes []upgrade.Event
	for range 600 {
		notes = append(notes, upgrade.Event{Run: 2, Kind: upgrade.EventNote})
	}
	b.must(t, b.pen, upgrade.Step{Events: notes})
	for _, run := range []upgrade.RunID{0, 2} {
		seen, after := 0, int64(0)
		for {
			page, err := b.Events(t.Context(), upgrade.EventFilter{Run: run, After: after})
			if err != nil {
				t.Fatal(err)
			}
			if len(page) == 0 {
				break
			}
			if len(page) > 500 {
				t.Fatalf("page of %d", len(page))
			}
			seen += len(page)
			after = page[len(page)-1].ID
			if run != 0 {
				after = page[len(page)-1].Seq
			}
		}
		if want := 602 - int(run)/2; seen != want {
			t.Errorf("of run %d: %d events, want %d", run, seen, want)
		}
	}
}

func testDeliveryFilter(b *bench) {
	t := b.t
	for _, id := range []upgrade.DeliveryID{"1", "2", "3"} {
		b.deliver(t, id)
	}
	b.must(t, b.pen, upgrade.Step{Delivery: &upgrade.Delivery{ID: "2", Fate: upgrade.FateIgnored}})
	for name, test := range map[string]struct {
		filter upgrade.DeliveryFilter
		want   []int64
	}{
		"all":     {upgrade.DeliveryFilter{}, []int64{3, 2, 1}},
		"ignored": {upgrade.DeliveryFilter{Fates: []upgrade.Fate{upgrade.FateIgnored}}, []int64{2}},
		"pending": {upgrade.DeliveryFilter{Fates: []upgrade.Fate{upgrade.FatePending}, Before: 3}, []int64{1}},
		"two":     {upgrade.DeliveryFilter{Limit: 2}, []int64{3, 2}},
	} {
		found, err := b.Deliveries(t.Context(), test.filter)
		if err != nil {
			t.Fatal(err)
		}
		var got []int64
		for _, d := range found {
			got = append(got, d.Number)
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: got %v, want %v", name, got, test.want)
		}
	}
}

func testListEnd(b *bench) {
	t := b.t
	var all sync.WaitGroup
	for i := range 510 {
		all.Go(func() { b.deliver(t, upgrade.DeliveryID(fmt.Sprint(i))) })
	}
	all.Wait()
	if found, err := b.Deliveries(t.Context(), upgrade.DeliveryFilter{Limit: 100_000}); err != nil || len(found) != 500 {
		t.Fatalf("listed %d (%v), want 500 at most", len(found), err)
	}
}

func testManyAnswers(b *bench) {
	t := b.t
	for i := range upgrade.RunID(5) {
		b.start(t, "s", upgrade.Tree(i.String()))
		b.must(t, b.pen, upgrade.Step{Answers: map[upgrade.RunID][]upgrade.Answer{i + 1: {
			{Ref: "z", Commit: upgrade.Commit(i.String())}, {Ref: "a", Commit: upgrade.Commit(i.String())},
		}}})
	}
	runs, err := b.Runs(t.Context(), upgrade.RunFilter{})
	if err != nil {
		t.Fatal(err)
	}
	for _, run := range runs {
		own := upgrade.Commit((run.ID - 1).String())
		if len(run.Answers) != 2 || run.Answers[0].Ref != "z" || run.Answers[0].Commit != own || run.Answers[1].Commit != own {
			t.Errorf("run %d answers for %+v", run.ID, run.Answers)
		}
	}
}

func testPing(b *bench) {
	t := b.t
	if err := b.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if err := b.Ping(t.Context()); err == nil {
		t.Fatal("a closed database answers")
	}
}
