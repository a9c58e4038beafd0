package auth

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"bambuddy/shared/farm"
)

func TestLimiterCountsClockMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		<-time.After(59 * time.Second)
		l, s := NewLimiter(), Subject{Key: 1}
		for i := range 3 {
			d := l.Take(s, ReadClass, 3)
			if !d.Allowed || d.Remaining != 2-i || d.Reset.Unix()%60 != 0 || time.Until(d.Reset) != time.Second {
				t.Fatalf("%d: %+v", i, d)
			}
		}
		for range 5 {
			if d := l.Take(s, ReadClass, 3); d.Allowed || d.Remaining != 0 || d.Limit != 3 {
				t.Fatalf("beyond: %+v", d)
			}
		}
		if !l.Take(s, WriteClass, 3).Allowed || !l.Take(Subject{Key: 2}, ReadClass, 3).Allowed {
			t.Error("another class or another key is refused")
		}
		<-time.After(time.Second)
		if d := l.Take(s, ReadClass, 3); !d.Allowed || d.Remaining != 2 {
			t.Errorf("in the next minute: %+v", d)
		}
	})
}

func TestLimiterMemoryIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLimiter()
		for i := range 3 * maxAddresses {
			l.Take(AddrSubject(fmt.Sprintf("[2001:db8:%x:%x::1]:80", i>>16, i&0xffff)), ReadClass, 100)
		}
		if n := len(l.used); n > maxAddresses+1 {
			t.Errorf("%d counts kept", n)
		}
		if !l.Take(Subject{Key: 5}, ReadClass, 100).Allowed {
			t.Error("a flood of addresses shut out a key")
		}
		<-time.After(time.Minute)
		l.Take(Subject{Key: 5}, ReadClass, 100)
		if n := len(l.used); n != 1 {
			t.Errorf("%d counts after the minute", n)
		}
	})
}

func TestAddrSubject(t *testing.T) {
	same := func(a, b string) bool { return AddrSubject(a) == AddrSubject(b) }
	if !same("10.0.0.1:5", "10.0.0.1:6") || !same("10.0.0.1:5", "[::ffff:10.0.0.1]:9") || !same("[2001:db8::1]:5", "[2001:db8::ffff]:5") {
		t.Error("one caller counts as two")
	}
	if same("10.0.0.1:5", "10.0.0.2:5") || same("[2001:db8::1]:5", "[2001:db8:0:1::1]:5") {
		t.Error("two callers count as one")
	}
}

func TestLimitsOfTheirOwn(t *testing.T) {
	a := New(Options{Limits: farm.Limits{Write: 5}})
	p := Principal{key: farm.APIKey{ID: 1, Limits: farm.Limits{Control: 2}}}
	for c, want := range map[Class]int{ReadClass: 100, WriteClass: 5, ControlClass: 2} {
		if d := a.Take(p, c); d.Limit != want {
			t.Errorf("%s: %d, want %d", c, d.Limit, want)
		}
	}
	if d := a.TakeAddr("10.0.0.1:1", ControlClass); d.Limit != 10 {
		t.Errorf("of an address: %d", d.Limit)
	}
}
