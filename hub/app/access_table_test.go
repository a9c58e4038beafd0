package app

import (
	"slices"

	"bambuddy/shared/farm"
)

// deed is how a route is called in earnest, and who beside its permission is kept from
// it. A route that is not in deeds fails the test of all of them.
type deed struct {
	kind  string // what the id in its path is of
	fresh bool   // it ends the thing, so each caller gets one of his own
	query string // {printer} and the like are ids of the place that is asked about
	body  string
	form  bool // a 3MF in a form instead
	want  int  // what is answered to who may; 0: 200

	names  string // the body or query names a thing of this kind, which must be seen as well
	refuse string // who else is refused with 403: see scope
	early  bool   // … before it is looked whether the thing is there
	reads  bool   // what it gives can read, so the caller must be able to
	person bool   // for sessions only: a key is told 400
	gives  string // "key" or "user": it hands out what the body says, none more than the caller has
}

// The scopes that are refused beyond what they do not see.
const (
	toPrinters = "printers" // who is limited to certain printers
	toAny      = "any"      // who is limited to printers or sites
)

// deeds are all routes, by operation id.
var deeds = map[string]deed{
	"get_health":  {},
	"get_openapi": {},

	"get_setup":       {},
	"set_up":          {want: 400}, // without a body: a wrong token counts as a try
	"sign_in":         {want: 400},
	"sign_out":        {person: true},
	"get_me":          {},
	"change_password": {person: true, body: `{"current_password":"wrong","new_password":"another good one"}`, want: 403},
	"list_sessions":   {person: true},
	"end_session":     {person: true, kind: "session", want: 404}, // of somebody else, at the own site too

	"list_printers":          {},
	"get_printer":            {kind: "printer"},
	"add_printer":            {body: `{"name":"New","serial_number":"{serial}","access_code":"12345678","ip_address":"192.0.2.9","site_id":{site},"agent_id":{agent}}`, want: 201, names: "site", refuse: toPrinters},
	"update_printer":         {kind: "printer", body: `{"location":"by the window"}`},
	"delete_printer":         {kind: "printer", fresh: true, query: "force=true"}, // it may print
	"get_printer_status":     {kind: "printer"},
	"refresh_printer_status": {kind: "printer"},

	"pause_print":         {kind: "printer"},
	"resume_print":        {kind: "printer"},
	"stop_print":          {kind: "printer"},
	"clear_printer_error": {kind: "printer"},
	"unload_filament":     {kind: "printer"},
	"set_print_speed":     {kind: "printer", body: `{"level":2}`},
	"set_light":           {kind: "printer", body: `{"on":true}`},
	"set_temperature":     {kind: "printer", body: `{"bed":50}`},
	"set_fan":             {kind: "printer", body: `{"fan":"part","percent":5}`},
	"load_filament":       {kind: "printer", body: `{"ams":255}`},
	"answer_ams":          {kind: "printer", body: `{"action":"abort"}`},
	"dry_filament":        {kind: "printer", body: `{"ams":0,"hours":0}`, want: 400}, // they have no AMS
	"set_filament":        {kind: "printer", body: `{"ams":255,"type":""}`},
	"skip_objects":        {kind: "printer", body: `{"objects":[1]}`},
	"home_printer":        {kind: "printer"},
	"send_gcode":          {kind: "printer", body: `{"gcode":"G28"}`},

	"stream_camera":       {kind: "printer"},
	"stream_camera_video": {kind: "printer"},
	"get_camera_snapshot": {kind: "printer"},
	"stop_camera":         {kind: "printer"},
	"create_media_link":   {body: `{"path":"/printers/{printer}/camera/snapshot"}`, want: 201},

	"list_printer_files":      {kind: "printer"},
	"download_printer_file":   {kind: "printer", query: "path=/x.3mf"},
	"delete_printer_file":     {kind: "printer", query: "path=/x.3mf"},
	"get_printer_diagnostics": {kind: "printer"},
	"test_printer":            {kind: "printer"},

	"list_agents":      {},
	"get_agent":        {kind: "agent"},
	"update_agent":     {kind: "agent", body: `{"site_id":{site}}`, refuse: toPrinters},
	"revoke_agent":     {kind: "agent", fresh: true, refuse: toPrinters},
	"delete_agent":     {kind: "agent", fresh: true, refuse: toPrinters},
	"test_new_printer": {kind: "agent", body: `{"serial_number":"00M00A9","ip_address":"192.0.2.9","access_code":"12345678"}`, refuse: toPrinters},
	"discover_printers": {
		kind: "agent", body: `{"seconds":0}`, refuse: toPrinters,
	},
	"list_enrolment_tokens":  {},
	"create_enrolment_token": {body: `{"site_id":{site}}`, want: 201, names: "site", refuse: toPrinters},
	"delete_enrolment_token": {kind: "enrolment", fresh: true},

	"list_sites":  {},
	"get_site":    {kind: "site"},
	"add_site":    {body: `{"name":"{word}"}`, want: 201, refuse: toAny},
	"update_site": {kind: "site", body: `{}`, refuse: toPrinters},
	"delete_site": {kind: "site", want: 409, refuse: toPrinters}, // it has printers

	"list_archives":         {},
	"export_archives":       {},
	"upload_archive":        {query: "site_id={site}", form: true, want: 201, names: "site in scope", refuse: toPrinters},
	"get_archive":           {kind: "archive"},
	"update_archive":        {kind: "archive", body: `{"favorite":true}`},
	"delete_archive":        {kind: "archive", fresh: true},
	"download_archive_3mf":  {kind: "archive"},
	"get_archive_thumbnail": {kind: "archive"},
	"get_archive_photo":     {kind: "archive"},
	"get_archive_timelapse": {kind: "archive"},
	"list_archive_plates":   {kind: "archive"},

	"list_projects":  {},
	"get_project":    {kind: "project"},
	"create_project": {body: `{"name":"{word}"}`, want: 201, refuse: toAny},
	"update_project": {kind: "project", body: `{"description":"of all"}`, refuse: toAny, early: true},
	"delete_project": {kind: "project", fresh: true, refuse: toAny, early: true},

	"list_s3_credentials":  {refuse: toPrinters},
	"create_s3_credential": {body: `{"name":"n","site_ids":[{site}]}`, want: 201, names: "site", refuse: toPrinters, reads: true},
	"delete_s3_credential": {kind: "s3", fresh: true, refuse: toPrinters, early: true},

	"list_users":     {},
	"get_user":       {kind: "user"},
	"create_user":    {body: `{"username":"{word}","password":"` + battery + `","role":"viewer","site_ids":[{site}]}`, want: 201, gives: "user"},
	"update_user":    {kind: "user", body: `{"name":"N"}`},
	"reset_password": {kind: "user", body: `{"password":"` + battery + `"}`},
	"delete_user":    {kind: "user", fresh: true},

	"list_api_keys":  {},
	"create_api_key": {body: `{"name":"n","permissions":["admin"],"site_ids":[{site}]}`, want: 201, gives: "key"},
	"update_api_key": {kind: "key", body: `{"name":"n"}`},
	"rotate_api_key": {kind: "key"},
	"delete_api_key": {kind: "key", fresh: true},

	"list_webhooks":              {},
	"create_webhook":             {body: `{"name":"n","url":"http://127.0.0.1:9/","enabled":false,"site_ids":[{site}]}`, want: 201, names: "site", refuse: toPrinters, gives: "webhook", reads: true},
	"get_webhook":                {kind: "webhook"},
	"update_webhook":             {kind: "webhook", body: `{"name":"n"}`, reads: true},
	"delete_webhook":             {kind: "webhook", fresh: true},
	"rotate_webhook_secret":      {kind: "webhook"},
	"test_webhook":               {kind: "webhook"},
	"list_webhook_deliveries":    {kind: "webhook"},
	"get_webhook_delivery":       {kind: "webhook", want: 404}, // nothing was sent
	"redeliver_webhook_delivery": {kind: "webhook", want: 404},

	"list_audit":      {refuse: toAny},
	"export_audit":    {refuse: toAny},
	"check_audit":     {refuse: toAny},
	"get_settings":    {refuse: toAny},
	"update_settings": {body: `{}`, refuse: toAny},
	"stream_events":   {},
}

// visitor is somebody who calls, and what he should be able to.
type visitor struct {
	name     string
	header   []string
	out      bool // 401 everywhere
	may      []farm.Permission
	printers []int64 // nil: all
	sites    []int64 // nil: all
	person   bool
	foreign  bool // a browser that another site makes ask: 403 for every write
}

// sees tells whether somebody knows of what is of a kind at a place.
func (v visitor) sees(kind string, p place) bool {
	if (kind == "webhook" || kind == "s3") && !(farm.APIKey{Permissions: v.may}).May(farm.Read) {
		return false // they read
	}
	key := farm.APIKey{Permissions: v.may, Printers: v.printers, Sites: v.sites}
	switch kind {
	case "project":
		return true
	case "printer", "archive":
		return key.Sees(p.of["printer"], p.site)
	case "agent", "site": // shared, but seen by who sees a printer there
		return key.SeesSite(p.site) && (v.printers == nil || slices.Contains(v.printers, p.sees))
	case "enrolment", "s3", "webhook", "site in scope":
		return v.printers == nil && key.SeesSite(p.site)
	case "key": // of the admin permission, limited to the site
		return v.gives("key", p)
	case "user":
		return v.gives("user", p)
	}
	return false // somebody else's session
}

// gives tells whether somebody has all that the keys and people of the test have.
func (v visitor) gives(what string, p place) bool {
	key := farm.APIKey{Permissions: v.may, Sites: v.sites}
	return v.printers == nil && key.SeesSite(p.site) && (what != "user" || key.May(farm.Read))
}

// expect is what a route answers: a status, and of a 403 whether it is for lack of a permission.
func (v visitor) expect(d deed, needs farm.Permission, write bool, p place) (status int, lacks bool) {
	want := d.want
	if want == 0 {
		want = 200
	}
	limited := v.printers != nil || v.sites != nil
	refused := d.refuse == toAny && limited || d.refuse == toPrinters && v.printers != nil
	switch {
	case needs == "" && v.foreign && write:
		return 403, false
	case needs == "":
		return want, false
	case v.out:
		return 401, false
	case v.foreign && write:
		return 403, false
	case !(farm.APIKey{Permissions: v.may}).May(needs):
		return 403, true
	case d.person && !v.person:
		return 400, false
	case refused && d.early:
		return 403, false
	case d.kind != "" && !v.sees(d.kind, p):
		return 404, false
	case refused:
		return 403, false
	case d.reads && !(farm.APIKey{Permissions: v.may}).May(farm.Read):
		return 403, true
	case d.gives != "" && !v.gives(d.gives, p):
		return 403, false
	case d.names != "" && !v.sees(d.names, p):
		return 404, false
	}
	return want, false
}
