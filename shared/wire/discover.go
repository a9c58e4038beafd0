package wire

// FoundVia is how a printer on the LAN was noticed.
type FoundVia string

// The ways, from the one that tells most to the one that tells least.
const (
	ViaSSDP        FoundVia = "ssdp"        // it announced itself
	ViaDetect      FoundVia = "detect"      // it answered the slicer's question on TCP 3000
	ViaCertificate FoundVia = "certificate" // its MQTT port showed a printer's certificate
)

// Found is a printer that an agent saw on its LAN. It is what that machine says of
// itself and nothing of it is proven: a hint for a person who adds a printer. A
// field that is not known is empty.
type Found struct {
	Serial   string `json:"serial"`
	Name     string `json:"name"`     // as people called it, printable, at most 64 characters
	Model    string `json:"model"`    // model code ("P1S")
	Address  string `json:"address"`  // IPv4
	Firmware string `json:"firmware"` // "01.08.02.00"
	Connect  string `json:"connect"`  // lan, cloud or farm
	Bind     string `json:"bind"`     // free or occupied

	// Developer tells whether commands over the LAN will be obeyed, as far as mode
	// and firmware let it be guessed; nil: only the printer's report will tell.
	Developer *bool    `json:"developer_mode,omitempty"`
	Via       FoundVia `json:"via"`
	SeenMS    int64    `json:"seen_ms"` // last time, Unix milliseconds, agent's clock
}
