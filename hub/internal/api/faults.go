package api

import (
	"slices"

	"bambuddy/shared/bambu"
)

// HMSError is one health message of the printer.
type HMSError struct {
	Code     string         `json:"code" example:"HMS_0300_0100_0001_0001" doc:"Code of the message, as the maker lists it."`
	Severity bambu.Severity `json:"severity" enum:"fatal,serious,common,info" doc:"How bad it is."`
	Module   *string        `json:"module" doc:"The part of the printer it comes from; null when not known." example:"motion controller"`
	Message  *string        `json:"message" doc:"In words; null where we have none."`
	Link     string         `json:"link" doc:"The vendor's page about it." example:"https://e.bambulab.com/index.php?e=0300010000010001"`
}

// PrintError is the error that holds up a print.
type PrintError struct {
	Code    string  `json:"code" example:"0300-8015" doc:"Code of the error, as the maker lists it."`
	Message *string `json:"message" doc:"In words; null where we have none."`
	Link    string  `json:"link" doc:"The vendor's page about it."`
}

// hmsErrors leaves out the echo of a cancelled print, which is no fault and does
// not count in hms_status either.
func hmsErrors(f bambu.Faults, serial string) []HMSError {
	faults := slices.DeleteFunc(slices.Clone(f.HMS), bambu.HMS.CancelEcho)
	return mapped(faults, func(h bambu.HMS) HMSError {
		return HMSError{Code: h.String(), Severity: h.Severity(), Module: orNull(h.Module()), Message: orNull(h.Message()), Link: h.Link(serial)}
	})
}

func printError(f bambu.Faults, serial string) nullable[PrintError] {
	if f.PrintError == 0 || bambu.IsCancelEcho(f.PrintError) {
		return nullable[PrintError]{}
	}
	return some(PrintError{Code: bambu.ErrorCode(f.PrintError), Message: orNull(bambu.ErrorMessage(f.PrintError)), Link: bambu.ErrorLink(f.PrintError, serial)})
}
