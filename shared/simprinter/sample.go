package simprinter

import (
	"archive/zip"
	"bytes"
	"crypto/md5" //nolint:gosec // the format asks for it
	"fmt"
	"html"

	"bambuddy/shared/bambu"
)

// sample3MF is a small sliced archive, for prints that bring no file of their own.
// The same print gives the same bytes.
func sample3MF(j PrintJob, m bambu.Model) []byte {
	plate, minutes := max(1, j.Plate), j.Minutes
	if minutes <= 0 {
		minutes = 10
	}
	code := fmt.Sprintf("; HEADER_BLOCK_START\n; total layer number: %d\n; HEADER_BLOCK_END\n; %s\nG28\nM400\n", max(5, int(minutes*5)), j.Name)
	product := ""
	if len(m.ProductIDs) > 0 {
		product = m.ProductIDs[0]
	}
	members := [][2]string{
		{"[Content_Types].xml", `<?xml version="1.0" encoding="UTF-8"?>
<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">
 <Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>
 <Default Extension="model" ContentType="application/vnd.ms-package.3dmanufacturing-3dmodel+xml"/>
 <Default Extension="gcode" ContentType="text/x.gcode"/>
</Types>`},
		{"_rels/.rels", `<?xml version="1.0" encoding="UTF-8"?>
<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">
 <Relationship Target="/3D/3dmodel.model" Id="rel-1" Type="http://schemas.microsoft.com/3dmanufacturing/2013/01/3dmodel"/>
</Relationships>`},
		{"3D/3dmodel.model", fmt.Sprintf(`<?xml version="1.0" encoding="UTF-8"?>
<model unit="millimeter" xmlns="http://schemas.microsoft.com/3dmanufacturing/core/2015/02">
 <metadata name="Title">%s</metadata><resources/><build/>
</model>`, html.EscapeString(j.Name))},
		{"Metadata/slice_info.config", fmt.Sprintf(`<?xml version="1.0" encoding="UTF-8"?>
<config>
 <plate>
  <metadata key="index" value="%d"/><metadata key="printer_model_id" value="%s"/>
  <metadata key="prediction" value="%.0f"/><metadata key="weight" value="%.2f"/>
  <filament id="1" tray_info_idx="GFA00" type="PLA" color="#5E43B7" used_m="%.2f" used_g="%.2f"/>
 </plate>
</config>`, plate, product, minutes*60, minutes/4, minutes/12, minutes/4)},
		{fmt.Sprintf("Metadata/plate_%d.gcode", plate), code},
		{fmt.Sprintf("Metadata/plate_%d.gcode.md5", plate), fmt.Sprintf("%X", md5.Sum([]byte(code)))}, //nolint:gosec // as above
	}
	var out bytes.Buffer
	archive := zip.NewWriter(&out)
	for _, m := range members {
		if w, err := archive.CreateHeader(&zip.FileHeader{Name: m[0], Method: zip.Deflate}); err == nil { // a buffer takes everything
			_, _ = w.Write([]byte(m[1]))
		}
	}
	_ = archive.Close()
	return out.Bytes()
}
