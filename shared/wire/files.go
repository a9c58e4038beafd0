package wire

const (
	// CapFiles came 2026-11-24: the files on a printer:
	//
	//	GET    /v1/printers/{serial}/files?path=            → FileList (control lane)
	//	DELETE /v1/printers/{serial}/files?path=            → {} (control lane)
	//	GET    /v1/printers/{serial}/files/download?path=   → the bytes (bulk lane), with
	//	       Content-Length where the printer tells the size; Range is not served
	CapFiles Capability = "files.v1"
)

// FileList is what lies in one folder of a printer's storage.
type FileList struct {
	Path    string      `json:"path"` // as listed: absolute, "/" is the root
	Entries []FileEntry `json:"entries"`
	// Truncated tells that the folder holds more than an agent lists.
	Truncated bool `json:"truncated,omitempty"`
}

// FileEntry is one file or folder.
type FileEntry struct {
	Name string `json:"name"` // without the path
	Dir  bool   `json:"dir,omitempty"`
	Size int64  `json:"size"` // bytes, 0 of a folder
	// ModifiedMS is what the printer says, Unix milliseconds, 0 when it does not.
	// Printers' clocks and time zones are not to be trusted.
	ModifiedMS int64 `json:"modified_ms,omitempty"`
}
