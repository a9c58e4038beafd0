package app

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"testing"
	"time"

	"bambuddy/hub/internal/blob"
	"bambuddy/shared/farm"
)

type putOptions = blob.PutOptions

// The example of the reference, verbatim, among 1,234 archives.
func TestTheReferencesListOfArchives(t *testing.T) {
	r := runArchives(t, nil)
	all := []farm.Print{benchy()}
	for i := range 1233 {
		all = append(all, with(benchy(), func(p *farm.Print) { p.CreatedAt = p.CreatedAt.Add(-time.Duration(i+1) * time.Hour) }))
	}
	r.seed(all...)
	var want, got struct {
		Total    int
		Archives []map[string]any
	}
	const example = `{"total": 1234, "archives": [{"id": 1, "name": "Benchy", "filename": "benchy.3mf", "printer_id": 1, "printer_name": "Workshop X1C",
		"created_at": "2024-01-15T14:30:00Z", "duration": 8100, "status": "success", "filament_used": 45.2, "filament_type": "PLA"}]}`
	if err := json.Unmarshal([]byte(example), &want); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/archives?limit=1", "/archives/?limit=1"} {
		a := r.get(path).want(200)
		a.into(&got)
		if got.Total != want.Total || len(got.Archives) != 1 || a.header.Get("X-Total-Count") != "1234" {
			t.Fatalf("%s: %v, total %d", path, a.header, got.Total)
		}
		for key, v := range want.Archives[0] {
			if got.Archives[0][key] != v {
				t.Errorf("%s: %s is %v, want %v", path, key, got.Archives[0][key], v)
			}
		}
	}
	one := map[string]any{}
	r.get("/archives/1/").want(200).into(&one)
	for key, v := range want.Archives[0] {
		if one[key] != v {
			t.Errorf("alone: %s is %v, want %v", key, one[key], v)
		}
	}
	for _, key := range []string{
		"site_id", "project_id", "file_size", "sha256", "plate", "filaments", "layer_height", "total_layers", "nozzle_diameter", "bed_type", "estimated_duration",
		"cost", "notes", "tags", "started_at", "finished_at", "time_estimated", "failure_reason", "thumbnail_url", "photo_urls", "timelapse_url", "duplicate_of",
		"source", "queue_item_id", "file_status", "file_error", "files",
	} {
		if _, there := one[key]; !there {
			t.Errorf("there is no %s", key)
		}
	}
	r.walk(1234)
}

// walk reads all pages by cursor, and by offset, and finds each archive once.
func (r *archives) walk(total int) {
	r.t.Helper()
	var byCursor, byOffset []int64
	for next := ""; ; {
		a := r.get("/archives?limit=200&cursor=" + url.QueryEscape(next))
		byCursor = append(byCursor, a.ids()...)
		var page struct {
			Total int
			Next  *string `json:"next_cursor"`
		}
		a.into(&page)
		if page.Total != total || (page.Next == nil) != (a.header.Get("X-Next-Cursor") == "") {
			r.t.Fatalf("a page of %d, next %v, header %q", page.Total, page.Next, a.header.Get("X-Next-Cursor"))
		}
		if page.Next == nil {
			break
		}
		next = *page.Next
	}
	for offset := 0; offset < total; offset += 200 {
		byOffset = append(byOffset, r.get(fmt.Sprintf("/archives?limit=200&offset=%d", offset)).ids()...)
	}
	if !slices.Equal(byCursor, byOffset) {
		r.t.Error("cursor and offset walk differently")
	}
	slices.Sort(byCursor)
	if byCursor = slices.Compact(byCursor); len(byCursor) != total {
		r.t.Errorf("%d archives were found", len(byCursor))
	}
	if n := len(r.get("/archives").ids()); n != 50 {
		r.t.Errorf("without a limit there are %d", n)
	}
	if n := len(r.get(fmt.Sprintf("/archives?offset=%d", total)).ids()); n != 0 {
		r.t.Errorf("beyond the end there are %d", n)
	}
}

// various are archives that differ in everything lists filter by; their ids are 1, 2, …
func (r *archives) various() {
	r.t.Helper()
	day := func(p *farm.Print, d int, hour int) {
		p.CreatedAt = time.Date(2024, 1, d, hour, 59, 59, 500e6, time.UTC)
	}
	yes := true
	r.seed(
		with(benchy(), func(p *farm.Print) { day(p, 1, 12); p.Favorite = yes; p.Tags = []string{"gift", "50% off_"} }),
		with(benchy(), func(p *farm.Print) {
			day(p, 2, 12)
			p.Status = farm.StatusFailed
			p.Source = farm.SourceCloud
			p.FailureReason = "spaghetti"
		}),
		with(benchy(), func(p *farm.Print) {
			day(p, 3, 12)
			p.Status = farm.StatusStopped
			p.Name = "Vase"
			p.Notes = "für Anna"
		}),
		with(benchy(), func(p *farm.Print) { day(p, 4, 23); p.Status = farm.StatusUnknown; p.Name = "Zahnrad" }),
		with(benchy(), func(p *farm.Print) {
			day(p, 5, 12)
			p.PrinterID, p.PrinterName, p.SiteID, p.Source, p.FilamentType = 2, "Attic P1S", r.second.ID, farm.SourceScreen, "PETG"
		}),
		with(benchy(), func(p *farm.Print) {
			day(p, 6, 12)
			p.Status = farm.StatusPrinting
			p.FileStatus = farm.FileMissing
			p.FileError = "on internal storage"
		}),
	)
}

func TestFiltersOfArchives(t *testing.T) {
	r := runArchives(t, nil)
	r.various()
	sha := r.store(3, farm.RoleModel, "vase.3mf", "application/x", model3MF("", 0))
	r.upload(r.key, "?site_id="+strconv.FormatInt(r.second.ID, 10), "up.3mf", model3MF("Gehäuse", 10)).want(201) // 7
	r.ask("POST", "/projects", []byte(`{"name":"Voron"}`)).want(201)
	r.ask("PATCH", "/archives/2", []byte(`{"project_id":1}`)).want(200)
	for query, want := range map[string][]int64{
		"":                 {7, 6, 5, 4, 3, 2, 1},
		"printer_id=2":     {5},
		"printer_id=9":     {},
		"site_id=2":        {7, 5},
		"project_id=1":     {2},
		"status=success":   {5, 1},
		"status=completed": {5, 1},
		"status=failed":    {2},
		"status=aborted":   {2},
		"status=stopped":   {3},
		"status=cancelled": {3},
		"status=unknown":   {4},
		"status=printing":  {6},
		"status=uploaded":  {7},
		"start_date=2024-01-03&end_date=2024-01-04":                  {4, 3},
		"date_from=2024-01-03&date_to=2024-01-04":                    {4, 3},
		"start_date=2024-01-05&end_date=2024-01-05&tz=Europe/Berlin": {5, 4}, // 23:59 UTC is the next day there
		"start_date=2024-01-04&end_date=2024-01-04&tz=Europe/Berlin": {},
		"end_date=2024-01-02T12:59:59Z":                              {2, 1},
		"end_date=2024-01-02T12:59:58Z":                              {1},
		"start_date=2024-01-02T14:00:00%2B01:00&end_date=2024-01-03": {3},
		"start_date=2024-01-02T13:59:59%2B01:00&end_date=2024-01-03": {3, 2},
		"search=vas":                           {3},
		"search=VASE+anna":                     {3},
		"search=fur":                           {3},
		"search=vase+benchy":                   {3}, // its file is called so no more, but see below
		"search=gift":                          {1},
		"search=petg":                          {7, 5},
		"search=attic":                         {5},
		"search=gehause":                       {7},
		"search=%22vase%22+OR+NOT":             {},
		"search=*":                             {},
		"search=name:vase":                     {},
		"tag=gift":                             {1},
		"tag=50%25+off_":                       {1},
		"tag=gif":                              {},
		"tag=%25":                              {},
		"source=cloud":                         {2},
		"source=upload":                        {7},
		"file_status=stored":                   {7, 3},
		"file_status=unavailable":              {6},
		"sha256=" + sha:                        {3},
		"favorite=true":                        {1},
		"favorite=false&site_id=2":             {7, 5},
		"status=success&printer_id=1&tag=gift": {1},
		"color=red&unknown=1&search=zahn":      {4},
	} {
		if query == "search=vase+benchy" { // the file that came is vase.3mf
			want = []int64{}
		}
		a := r.get("/archives?" + query)
		if got := a.ids(); !slices.Equal(got, want) && len(got)+len(want) > 0 {
			t.Errorf("%s: %v, want %v", query, got, want)
		}
		if n := a.header.Get("X-Total-Count"); n != strconv.Itoa(len(want)) {
			t.Errorf("%s: a total of %s, want %d", query, n, len(want))
		}
		rows := r.get("/archives/export?" + query).want(200)
		if n := len(csvOf(t, rows.body)) - 1; n != len(want) {
			t.Errorf("%s: %d rows are exported, want %d", query, n, len(want))
		}
	}
	for query, field := range map[string]string{
		"status=done": "status", "status=SUCCESS": "status", "limit=0": "limit", "limit=201": "limit", "limit=x": "limit", "offset=-1": "offset",
		"start_date=yesterday": "start_date", "end_date=2024-02-30": "end_date", "date_from=2024-1-1": "start_date",
		"start_date=2024-02-01&end_date=2024-01-01": "start_date", "tz=Mars/Olympus": "tz", "tz=Local": "tz", "tz=../etc/passwd": "tz",
		"cursor=nonsense": "cursor", "printer_id=x": "printer_id", "printer_id=0": "printer_id", "source=usb": "source", "file_status=lost": "file_status",
		"favorite=maybe": "favorite", "start_date=2024-01-02T13:59:59": "start_date",
	} {
		r.get("/archives?"+query).refused(farm.Invalid, field)
	}
}

func TestChangingArchives(t *testing.T) {
	r := runArchives(t, nil)
	r.seed(benchy())
	r.ask("POST", "/projects", []byte(`{"name":"Voron"}`)).want(201)
	var is struct {
		Name, Notes string
		Tags        []string
		ProjectID   *int64  `json:"project_id"`
		Reason      *string `json:"failure_reason"`
		Favorite    bool
	}
	r.ask("PATCH", "/archives/1", []byte(`{"name":"Updated Name","notes":"Great print","tags":["functional","gift"]}`)).want(200).into(&is)
	if is.Name != "Updated Name" || is.Notes != "Great print" || !slices.Equal(is.Tags, []string{"functional", "gift"}) {
		t.Errorf("%+v", is)
	}
	r.ask("PATCH", "/archives/1/", []byte(`{"project_id":1,"failure_reason":"spaghetti","favorite":true}`)).want(200)
	r.get("/archives/1").want(200).into(&is)
	if is.Name != "Updated Name" || *is.ProjectID != 1 || *is.Reason != "spaghetti" || !is.Favorite {
		t.Errorf("%+v", is)
	}
	is.Tags, is.Notes = nil, "-"
	r.ask("PATCH", "/archives/1", []byte(`{"project_id":null,"failure_reason":null,"notes":null,"tags":[],"color":"unknown fields are ignored"}`)).want(200).into(&is)
	if is.ProjectID != nil || is.Reason != nil || is.Tags == nil || len(is.Tags) != 0 {
		t.Errorf("%+v", is)
	}
	for body, c := range map[string]struct {
		code farm.Code
		says string
	}{
		`{"name":""}`: {farm.Invalid, "name"}, `{"name":"  "}`: {farm.Invalid, "name"}, `{"name":7}`: {farm.Invalid, "name"}, `{"tags":"gift"}`: {farm.Invalid, "tags"},
		`{"tags":[""]}`: {farm.Invalid, "tags"}, `{"tags":[1]}`: {farm.Invalid, "tags"}, `{"project_id":9}`: {farm.NotFound, "project_id"}, `{"project_id":-1}`: {farm.Invalid, "project_id"},
		`{"favorite":"yes"}`: {farm.Invalid, "favorite"}, `[]`: {farm.Invalid, "body"}, ``: {farm.Invalid, "body"},
	} {
		r.ask("PATCH", "/archives/1", []byte(body)).refused(c.code, c.says)
	}
	r.ask("PATCH", "/archives/9", []byte(`{}`)).refused(farm.NotFound, "archive 9")
	r.ask("PATCH", "/archives/abc", []byte(`{}`)).refused(farm.NotFound, "")
	r.ask("PUT", "/archives/1", []byte(`{}`)).refused(farm.MethodNotAllowed, "PATCH")
}

func TestDeletingArchives(t *testing.T) {
	r := runArchives(t, nil)
	r.seed(benchy(), benchy(), with(benchy(), func(p *farm.Print) { p.Status = farm.StatusPrinting }))
	var answer map[string]string
	r.ask("DELETE", "/archives/1", nil).want(200).into(&answer)
	if len(answer) != 1 || answer["status"] != "deleted" {
		t.Errorf("%v", answer)
	}
	r.ask("DELETE", "/archives/1", nil).refused(farm.NotFound, "archive 1")
	r.get("/archives/1").refused(farm.NotFound, "archive 1")
	r.get("/archives/1/3mf").refused(farm.NotFound, "archive 1")
	r.ask("DELETE", "/archives/3", nil).refused(farm.Conflict, "printed")
	r.ask("DELETE", "/archives/2?purge_stats=maybe", nil).refused(farm.Invalid, "purge_stats")
	r.ask("DELETE", "/archives/2?purge_stats=true", nil).want(200)
	if ids := r.get("/archives").ids(); !slices.Equal(ids, []int64{3}) {
		t.Errorf("left: %v", ids)
	}
}

// What is out of a key's scope is not there, and nothing tells that it is.
func TestScopesOfArchives(t *testing.T) {
	r := runArchives(t, nil)
	r.various()
	r.store(1, farm.RoleModel, "x.3mf", "application/x", model3MF("", 0))
	r.upload(r.key, "?site_id=2", "up.3mf", model3MF("", 10)).want(201) // 7
	may := []string{"read", "queue"}
	printer, site, none := r.scoped(may, []int64{2}, nil), r.scoped(may, nil, []int64{r.second.ID}), r.scoped(may, []int64{}, nil)
	for name, c := range map[string]struct {
		key  string
		want []int64
	}{"printer": {printer, []int64{5}}, "site": {site, []int64{7, 5}}, "none": {none, nil}} {
		a := r.as(c.key, "GET", "/archives", nil)
		if got := a.ids(); !slices.Equal(got, c.want) || a.header.Get("X-Total-Count") != strconv.Itoa(len(c.want)) {
			t.Errorf("%s: %v of %s, want %v", name, got, a.header.Get("X-Total-Count"), c.want)
		}
		if n := len(csvOf(t, r.as(c.key, "GET", "/archives/export", nil).want(200).body)) - 1; n != len(c.want) {
			t.Errorf("%s: %d rows", name, n)
		}
		for _, path := range []string{"", "/3mf", "/thumbnail", "/photos/1", "/timelapse", "/plates"} {
			r.as(c.key, "GET", "/archives/1"+path, nil).refused(farm.NotFound, "archive 1")
			if name == "printer" {
				r.as(c.key, "GET", "/archives/7"+path, nil).refused(farm.NotFound, "archive 7")
			}
		}
		r.as(c.key, "PATCH", "/archives/1", []byte(`{"name":"mine"}`)).refused(farm.NotFound, "archive 1")
		r.as(c.key, "DELETE", "/archives/1", nil).refused(farm.NotFound, "archive 1")
	}
	r.upload(printer, "", "x.3mf", model3MF("", 0)).refused(farm.Forbidden, "printers")
	r.upload(site, "?site_id=1", "x.3mf", model3MF("", 0)).refused(farm.NotFound, "site_id")
	r.upload(r.key, "?site_id=77", "x.3mf", model3MF("", 0)).refused(farm.NotFound, "site")
	var up struct {
		SiteID int64 `json:"site_id"`
	}
	r.upload(site, "", "x.3mf", model3MF("", 0)).want(201).into(&up)
	if up.SiteID != r.second.ID {
		t.Errorf("it is of site %d", up.SiteID)
	}
	reader := r.scoped([]string{"read"}, nil, nil)
	r.as(reader, "PATCH", "/archives/1", []byte(`{}`)).refused(farm.Forbidden, "queue")
	r.as(reader, "DELETE", "/archives/1", nil).refused(farm.Forbidden, "queue")
	r.upload(reader, "", "x.3mf", model3MF("", 0)).refused(farm.Forbidden, "queue")
	r.as("", "GET", "/archives", nil).refused(farm.Unauthorized, "")
}

func TestProjects(t *testing.T) {
	r := runArchives(t, nil)
	r.seed(benchy(), benchy())
	var p map[string]any
	r.ask("POST", "/projects", []byte(`{"name":"Voron Build","description":"Building a Voron 2.4","color":"#4caf50","target_count":100}`)).want(201).into(&p)
	for key, want := range map[string]any{"id": 1.0, "name": "Voron Build", "description": "Building a Voron 2.4", "color": "#4caf50", "target_count": 100.0, "status": "active"} {
		if p[key] != want {
			t.Errorf("%s is %v, want %v", key, p[key], want)
		}
	}
	r.ask("POST", "/projects/", []byte(`{"name":"Other"}`)).want(201)
	r.ask("PATCH", "/archives/1", []byte(`{"project_id":1}`)).want(200)
	r.ask("PATCH", "/archives/2", []byte(`{"project_id":1}`)).want(200)
	r.ask("PATCH", "/projects/1", []byte(`{"status":"completed","description":null,"target_count":null}`)).want(200)
	r.get("/projects/1/").want(200).into(&p)
	if p["name"] != "Voron Build" || p["status"] != "completed" || p["description"] != nil || p["target_count"] != nil || p["color"] != "#4caf50" {
		t.Errorf("%v", p)
	}
	var all []map[string]any
	a := r.get("/projects").want(200)
	if a.into(&all); len(all) != 2 || a.header.Get("X-Total-Count") != "2" || all[0]["id"] != 1.0 {
		t.Errorf("%s", a.body)
	}
	a = r.get("/projects?status=active&limit=1").want(200)
	if a.into(&all); len(all) != 1 || all[0]["name"] != "Other" {
		t.Errorf("%s", a.body)
	}
	for body, field := range map[string]string{
		`{}`: "name", `{"name":" "}`: "name", `{"name":"x","color":"red"}`: "color", `{"name":"x","target_count":-1}`: "target_count", `{"name":1}`: "name",
	} {
		r.ask("POST", "/projects", []byte(body)).refused(farm.Invalid, field)
	}
	r.ask("PATCH", "/projects/1", []byte(`{"status":"paused"}`)).refused(farm.Invalid, "status")
	r.get("/projects/9").refused(farm.NotFound, "project 9")
	if ids := r.get("/archives?project_id=1").ids(); len(ids) != 2 {
		t.Errorf("members: %v", ids)
	}
	r.ask("DELETE", "/projects/1", nil).want(200)
	r.ask("DELETE", "/projects/1", nil).refused(farm.NotFound, "project 1")
	var one struct {
		ProjectID *int64 `json:"project_id"`
	}
	r.get("/archives/1").want(200).into(&one)
	if ids := r.get("/archives").ids(); one.ProjectID != nil || len(ids) != 2 {
		t.Errorf("after: %v, %v", one, ids)
	}
	if n := r.get("/archives?project_id=1").header.Get("X-Total-Count"); n != "0" {
		t.Errorf("of the project that is gone there are %s", n)
	}
}
