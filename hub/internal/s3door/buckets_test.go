package s3door

import (
	"regexp"
	"strings"
	"testing"

	"bambuddy/shared/farm"
)

func TestBucketsAreNamedAfterSites(t *testing.T) {
	var sites []farm.Site
	var want []string
	for i, c := range [][2]string{
		{"Workshop", "workshop"},
		{"Büro Süd (2. OG)", "buro-sud-2-og"},
		{"WORKSHOP!", "workshop-3"},
		{"a", "a-site"},
		{"", "site"},
		{"工房", "site-6"},
		{"--x--y--", "x-y"},
		{"Straße Łódź Ålesund", "strasse-lodz-alesund"},
		{"workshop-10", "workshop-10"},
		{"workshop", "workshop-10-10"},
		{"ﬁne ½", "fine-1-2"},
		{strings.Repeat("long ", 40), "long-long-long-long-long-long-long-long-l"},
		{"192.168.1.1", "192-168-1-1"},
		{"xn--bucket", "xn-bucket"},
	} {
		sites, want = append(sites, farm.Site{ID: int64(i + 1), Name: c[0]}), append(want, c[1])
	}
	legal := regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)
	for i, b := range bucketNames(sites) {
		if b.Name != want[i] || b.SiteID != sites[i].ID || !legal.MatchString(b.Name) || len(b.Name) < 3 || len(b.Name) > 63 {
			t.Errorf("site %q: bucket %q, want %q", sites[i].Name, b.Name, want[i])
		}
	}
}

func FuzzBucketNames(f *testing.F) {
	f.Add("Workshop", "workshop")
	f.Add("", "İ")
	legal := regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)
	f.Fuzz(func(t *testing.T, one, other string) {
		all := bucketNames([]farm.Site{{ID: 1, Name: one}, {ID: 1 << 40, Name: other}, {ID: 1<<63 - 1, Name: one}})
		for _, b := range all {
			if !legal.MatchString(b.Name) || len(b.Name) < 3 || len(b.Name) > 63 {
				t.Errorf("%q is no name of a bucket", b.Name)
			}
		}
		if all[0].Name == all[1].Name || all[1].Name == all[2].Name || all[0].Name == all[2].Name {
			t.Errorf("%v are not different", all)
		}
	})
}
