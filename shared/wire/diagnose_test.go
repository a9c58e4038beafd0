package wire

import "testing"

func TestTheWorstCheckCounts(t *testing.T) {
	for _, test := range []struct {
		results []Verdict
		want    Verdict
	}{
		{nil, Pass},
		{[]Verdict{Pass, Skip}, Pass},
		{[]Verdict{Pass, Warn, Skip, Pass}, Warn},
		{[]Verdict{Warn, Fail, Pass}, Fail},
	} {
		var r Report
		for _, v := range test.results {
			r.Checks = append(r.Checks, Check{Result: v})
		}
		if got := Worst(r.Checks); got != test.want {
			t.Errorf("%v: %s", test.results, got)
		}
	}
}
