package archive

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"bambuddy/shared/farm"
)

// Bounds of what people write to an archive.
const (
	maxName  = 200
	maxNotes = 20_000
	maxTags  = 50
	maxTag   = 64
)

// CheckChange brings what somebody wants to change into form: names and tags are
// trimmed, a tag is there once. Invalid names what is wrong.
func CheckChange(c *farm.PrintChange) error {
	if c.Name != nil {
		name := strings.TrimSpace(*c.Name)
		if name == "" || utf8.RuneCountInString(name) > maxName || strings.ContainsFunc(name, unicode.IsControl) {
			return farm.Errorf(farm.Invalid, "name: 1 to %d characters on one line", maxName)
		}
		c.Name = &name
	}
	if c.Notes != nil && utf8.RuneCountInString(*c.Notes) > maxNotes {
		return farm.Errorf(farm.Invalid, "notes: at most %d characters", maxNotes)
	}
	if c.FailureReason != nil && utf8.RuneCountInString(*c.FailureReason) > maxName {
		return farm.Errorf(farm.Invalid, "failure_reason: at most %d characters", maxName)
	}
	if c.ProjectID != nil && *c.ProjectID < 0 {
		return farm.Errorf(farm.Invalid, "project_id: the id of a project, or null")
	}
	if c.Tags == nil {
		return nil
	}
	tags := []string{}
	for _, tag := range *c.Tags {
		tag = strings.TrimSpace(tag)
		if tag == "" || utf8.RuneCountInString(tag) > maxTag || strings.ContainsFunc(tag, unicode.IsControl) {
			return farm.Errorf(farm.Invalid, "tags: each 1 to %d characters on one line", maxTag)
		}
		if !slices.Contains(tags, tag) {
			tags = append(tags, tag)
		}
	}
	if len(tags) > maxTags {
		return farm.Errorf(farm.Invalid, "tags: at most %d", maxTags)
	}
	c.Tags = &tags
	return nil
}
