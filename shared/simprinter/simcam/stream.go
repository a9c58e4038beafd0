package simcam

import (
	"context"
	"time"
)

// stream sends the loop of video at its pace until ctx ends or the client does not
// take it any more.
func (s *session) stream(ctx context.Context) {
	pace := time.NewTicker(time.Second / rate)
	defer pace.Stop()
	film, at := near(), 0
	fars := false
	q := s.server.Quirks()
	if q.MidGroup {
		at = rate / 2
	}
	var reported time.Time
	for {
		if q.FarKeys != fars { // another loop, from its beginning or half way
			film, at, fars = near(), 0, q.FarKeys
			if fars {
				film = far()
			}
			if q.MidGroup {
				at = len(film.frames) / 2
			}
		}
		now := time.Now()
		if silent := q.Stall || q.NeedsReports && s.forgotten(now); !silent {
			if !s.send(film.frames[at], q, now, &reported) {
				return
			}
		}
		if !q.StuckTime {
			s.pack.at += clockRate / rate
		}
		at = (at + 1) % len(film.frames)
		select {
		case <-ctx.Done():
			return
		case <-pace.C:
		}
		q = s.server.Quirks()
	}
}

// forgotten tells whether the client has sent no receiver report for too long. Many
// programs send none over TCP, ffmpeg among them, so most cameras do not mind.
func (s *session) forgotten(now time.Time) bool {
	return now.UnixNano()-s.asked.Load() >= int64(reportPatience)
}

// send sends a frame, and a sender report when one is due.
func (s *session) send(f frame, q Quirks, now time.Time, reported *time.Time) bool {
	if now.Sub(*reported) >= reportEvery {
		*reported = now
		if s.write(s.pack.report(now)) != nil {
			return false
		}
	}
	b := s.pack.frame(f, q.Lossy)
	if q.Drop {
		b = b[:len(b)/2]
	}
	if s.write(b) != nil || q.Drop {
		return false
	}
	s.server.sent(1)
	return true
}
