package camera

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/rtp"

	"bambuddy/shared/bambu"
	"bambuddy/shared/farm"
	"bambuddy/shared/simprinter/simcam"
)

func TestVideoOfASimulatedPrinter(t *testing.T) {
	tests := map[string]struct {
		quirks simcam.Quirks
		wait   time.Duration // for the first frame
		whole  bool
	}{
		"as most are":       {whole: true, wait: 2 * time.Second},
		"far key frames":    {quirks: simcam.Quirks{FarKeys: true}, wait: 12 * time.Second, whole: true},
		"joined in a group": {quirks: simcam.Quirks{MidGroup: true}, wait: 3 * time.Second, whole: true},
		"time stands still": {quirks: simcam.Quirks{StuckTime: true}, wait: 2 * time.Second, whole: true},
		"lossy":             {quirks: simcam.Quirks{Lossy: true}, wait: 5 * time.Second},
		"needs reports":     {quirks: simcam.Quirks{NeedsReports: true}, wait: 2 * time.Second, whole: true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := memRig(t, bambu.CameraRTSP, tt.quirks, Options{})
				defer r.close()
				v := r.watch(H264, 0)
				first := next(t, v, tt.wait)
				if !first.Key || first.Data[4]&nalType != nalSPS {
					t.Fatalf("begins with % x", first.Data[:8])
				}
				frames := 1
				for time.Since(first.At) < 40*time.Second { // four times what "needs reports" waits for one
					next(t, v, 5*time.Second)
					frames++
				}
				s := r.cam.Stats()
				if s.Opened != 1 {
					t.Errorf("opened %d times", s.Opened)
				}
				missed := s.Sent - int64(frames)
				if tt.whole && tt.quirks != (simcam.Quirks{MidGroup: true}) && missed > 2 || frames < 20 {
					t.Errorf("%d frames of %d sent", frames, s.Sent)
				}
			})
		})
	}
}

// TestWhoJoinsLateSeesAtOnce has a camera whose key frames are ten seconds apart.
func TestWhoJoinsLateSeesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := memRig(t, bambu.CameraRTSP, simcam.Quirks{FarKeys: true}, Options{})
		defer r.close()
		first := r.watch(H264, 0)
		next(t, first, 12*time.Second)
		time.Sleep(7 * time.Second)
		late := r.watch(H264, 0)
		begin := time.Now()
		frame := next(t, late, time.Millisecond)
		if !frame.Key {
			t.Fatal("does not begin with a key frame")
		}
		frames := 1
		for time.Since(frame.At) > 0 {
			frame = next(t, late, 100*time.Millisecond)
			frames++
		}
		if time.Since(begin) > 100*time.Millisecond || frames < 50 {
			t.Errorf("%d frames in %v to the present", frames, time.Since(begin))
		}
	})
}

func TestASlowViewerContinuesWithAKeyFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := memRig(t, bambu.CameraRTSP, simcam.Quirks{}, Options{})
		defer r.close()
		v := r.watch(H264, 0)
		next(t, v, 2*time.Second)
		time.Sleep(2 * time.Minute)
		frame := next(t, v, time.Second)
		if !frame.Key || time.Since(frame.At) > 2*time.Second {
			t.Errorf("key %v, %v old", frame.Key, time.Since(frame.At))
		}
	})
}

func TestVideoStallReconnects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := memRig(t, bambu.CameraRTSP, simcam.Quirks{}, Options{})
		defer r.close()
		v := r.watch(H264, 0)
		next(t, v, 2*time.Second)
		r.cam.Tune(simcam.Quirks{Stall: true})
		time.Sleep(5 * time.Second)
		r.cam.Tune(simcam.Quirks{})
		for r.cam.Drop(); ; {
			if frame := next(t, v, time.Minute); r.cam.Stats().Opened == 2 {
				if !frame.Key {
					t.Error("continues without a key frame")
				}
				return
			}
		}
	})
}

// script is an RTSP server that answers as it is told.
type script struct {
	net.Conn
	in       *bufio.Reader
	requests []string // method and address of all
	sent     []map[string]string
	reports  int
}

// request reads one request.
func (s *script) request() (method string, header map[string]string, err error) {
	header = map[string]string{}
	for {
		if first, err := s.in.Peek(1); err == nil && first[0] == '$' { // a report
			first, _ = s.in.Peek(4)
			_, _ = s.in.Discard(4 + int(binary.BigEndian.Uint16(first[2:])))
			s.reports++
			continue
		}
		line, err := s.in.ReadString('\n')
		if err != nil {
			return "", nil, err
		}
		line = strings.TrimSpace(line)
		name, value, colon := strings.Cut(line, ": ")
		switch {
		case line == "" && method != "":
			s.sent = append(s.sent, header)
			return method, header, nil
		case method == "":
			method, _, _ = strings.Cut(line, " ")
			s.requests = append(s.requests, strings.TrimSuffix(line, " RTSP/1.0"))
		case colon:
			header[name] = value
		}
	}
}

func (s *script) reply(status int, header map[string]string, extra ...string) {
	text := fmt.Sprintf("RTSP/1.0 %d Whatever\r\nCSeq: %s\r\n%s\r\n", status, header["CSeq"], strings.Join(append(extra, ""), "\r\n"))
	_, _ = s.Write([]byte(text))
}

// describe leaves an empty line behind the description.
func (s *script) describe(header map[string]string, sdp string, extra ...string) {
	s.reply(200, header, append(extra, fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(sdp), sdp))...)
}

// packets sends RTP packets on a channel.
func (s *script) packets(channel byte, seq uint16, packets ...packet) {
	var b []byte
	for _, p := range packets {
		raw, _ := (&rtp.Packet{
			Header:  rtp.Header{Version: 2, PayloadType: 97, SequenceNumber: seq, Timestamp: p.stamp, Marker: p.marker, SSRC: 9},
			Payload: p.payload,
		}).Marshal()
		seq++
		b = append(binary.BigEndian.AppendUint16(append(b, '$', channel), uint16(len(raw))), raw...)
	}
	_, _ = s.Write(b)
}

const oddSDP = "v=0\na=control:*\nm=audio 0 RTP/AVP 0\na=control:audio\nm=video 0 RTP/AVP 97\n" +
	"a=rtpmap:97 h264/90000\na=fmtp:97 sprop-parameter-sets=%s,%s; packetization-mode=1\na=control:video?x=1\n" +
	"m=video 0 RTP/AVP 98\na=rtpmap:98 H264/90000\na=control:other\n"

// TestAnOddServer packs many liberties into one conversation.
func TestAnOddServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		idr, p1 := nal(nalIDR, true, 3000), nal(nalSlice, true, 100)
		var s *script
		r := fakeRig(t, bambu.CameraRTSP, func(_ int, c net.Conn) {
			s = &script{Conn: c, in: bufio.NewReader(c)}
			for {
				method, h, err := s.request()
				if err != nil {
					return
				}
				switch method {
				case "OPTIONS": // wants a login even for this, offers two ways and forgets the nonce once
					switch len(s.requests) {
					case 1:
						s.reply(401, h, `WWW-Authenticate: Basic realm="x"`, `WWW-Authenticate: Digest realm="a, b", nonce="n1", algorithm=SHA-256, qop="auth,auth-int"`)
					case 2:
						s.reply(401, h, `WWW-Authenticate: Digest realm="a, b", stale=TRUE, nonce="n2", algorithm=SHA-256, qop="auth"`)
					default:
						s.reply(200, h, "Public: DESCRIBE, SETUP, PLAY, GET_PARAMETER")
					}
				case "DESCRIBE": // says something else first
					_, _ = s.Write([]byte("OPTIONS rtsp://x RTSP/1.0\r\nCSeq: 77\r\n\r\n"))
					enc := base64.StdEncoding.EncodeToString
					s.describe(h, fmt.Sprintf(oddSDP, enc(sps), enc(pps)), "Content-Base: rtsp://192.0.2.1/elsewhere/")
				case "SETUP":
					s.reply(200, h, "Session: 12345;timeout=10", "Transport: RTP/AVP/TCP;unicast;interleaved=4-5;ssrc=1")
				case "PLAY": // the key frame is there before the answer
					var key []packet
					for _, piece := range fuA(idr, 1000) {
						key = append(key, packet{payload: piece, stamp: 1})
					}
					key[len(key)-1].marker = true
					s.packets(4, 65535, key...)
					s.packets(0, 1, packet{payload: p1, stamp: 1, marker: true}) // nobody's channel
					s.reply(200, h)
					s.packets(4, 2, packet{payload: p1, stamp: 2, marker: true})
				case "GET_PARAMETER":
					s.reply(200, h)
					s.packets(4, 3, packet{payload: p1, stamp: 3, marker: true})
				case "TEARDOWN":
					s.reply(200, h)
					return
				}
			}
		})
		v := r.watch(H264, 0)
		if frame := next(t, v, time.Second); !frame.Key || !bytes.Equal(frame.Data, annexB(sps, pps, idr)) {
			t.Errorf("%d bytes", len(frame.Data))
		}
		if frame := next(t, v, time.Second); frame.Key || !bytes.Equal(frame.Data, annexB(p1)) {
			t.Errorf("% x", frame.Data)
		}
		r.close()
		const want = "OPTIONS *|OPTIONS *|OPTIONS *|DESCRIBE *|SETUP rtsp://192.0.2.1/elsewhere/video?x=1|" +
			"PLAY rtsp://192.0.2.1/elsewhere/|TEARDOWN rtsp://192.0.2.1/elsewhere/"
		got := strings.Join(s.requests, "|")
		if s.reports != 1 {
			t.Errorf("%d receiver reports", s.reports)
		}
		if got != strings.ReplaceAll(want, "*", "rtsps://cam:1"+streamPath) {
			t.Errorf("%s", got)
		}
		for i, count := range []int{0, 1, 1, 2, 3, 4, beyond + 4} { // of the use of a nonce
			if auth := s.sent[i]["Authorization"]; count > 0 && !strings.Contains(auth, fmt.Sprintf("nc=%08x", count)) {
				t.Errorf("request %d: %s", i, auth)
			}
		}
		if h := s.sent[len(s.sent)-1]; h["Session"] != "12345" {
			t.Errorf("%v", h)
		}
	})
}

// TestServersThatAreNone has answers no stream can begin with.
func TestServersThatAreNone(t *testing.T) {
	tests := map[string]struct {
		answer string // to the first request, whatever it is
		code   farm.Code
	}{
		"other words":     {"220 ftp ready\r\n", farm.PrinterNotConnected},
		"an endless line": {"RTSP/1.0 200 " + strings.Repeat("x", 2*maxHeader), farm.PrinterNotConnected},
		"a huge body":     {"RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Length: 99999999\r\n\r\n", farm.PrinterNotConnected},
		"a negative body": {"RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Length: -1\r\n\r\n", farm.PrinterNotConnected},
		"no number":       {"RTSP/1.0 xyz\r\nCSeq: 1\r\n\r\n", farm.PrinterNotConnected},
		"not found":       {"RTSP/1.0 404 Not Found\r\nCSeq: 1\r\n\r\n", farm.PrinterNotConnected},
		"busy":            {"RTSP/1.0 453 Not Enough Bandwidth\r\nCSeq: 1\r\n\r\n", farm.PrinterBusy},
		"a strange login": {"RTSP/1.0 401 No\r\nCSeq: 1\r\nWWW-Authenticate: Negotiate\r\n\r\n", farm.PrinterNotConnected},
		"others' answers": {strings.Repeat("RTSP/1.0 200 OK\r\nCSeq: 99\r\n\r\n", 200), farm.PrinterNotConnected},
		"silence":         {"", farm.PrinterNotConnected},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := fakeRig(t, bambu.CameraRTSP, func(_ int, c net.Conn) {
					s := &script{Conn: c, in: bufio.NewReader(c)}
					if _, _, err := s.request(); err != nil {
						return
					}
					_, _ = c.Write([]byte(tt.answer))
					_, _ = io.Copy(io.Discard, c)
				})
				defer r.close()
				begin := time.Now()
				wantEnd(t, r.watch(H264, 0), tt.code)
				if took := time.Since(begin); took > stall+time.Second {
					t.Errorf("known only after %v", took)
				}
			})
		})
	}
}

func TestAnswersToChallenges(t *testing.T) {
	// The example of RFC 2617, without its form with a counter as LIVE555 does it.
	c, ok := parseChallenge(`Digest realm="LIVE555 Streaming Media", nonce="5ccc069c403ebaf9f0171e9517f40e41"`)
	if !ok {
		t.Fatal("not understood")
	}
	got := c.answer("DESCRIBE", "rtsps://10.0.0.1:322/streaming/live/1", code)
	const want = `Digest username="bblp", realm="LIVE555 Streaming Media", nonce="5ccc069c403ebaf9f0171e9517f40e41", ` +
		`uri="rtsps://10.0.0.1:322/streaming/live/1", response="DIGEST"`
	a := c.sum("bblp:LIVE555 Streaming Media:12345678")
	b := c.sum("DESCRIBE:rtsps://10.0.0.1:322/streaming/live/1")
	if want := strings.Replace(want, "DIGEST", c.sum(a+":5ccc069c403ebaf9f0171e9517f40e41:"+b), 1); got != want {
		t.Errorf("%s", got)
	}
	c, _ = parseChallenge(`basic realm="x"`)
	if got := c.answer("X", "y", code); got != "Basic YmJscDoxMjM0NTY3OA==" {
		t.Errorf("%s", got)
	}
	for _, bad := range []string{"", "Digest", `Digest realm="x"`, `Digest nonce="x", algorithm=MD5-sess`, `Negotiate abc`, `Digest nonce="a\", realm="x"`} {
		if c, ok := parseChallenge(bad); ok {
			t.Errorf("%q: %+v", bad, c)
		}
	}
}

func TestDescriptions(t *testing.T) {
	for _, bad := range []string{"", "m=audio 0 RTP/AVP 0\na=rtpmap:0 H264/90000\n", "m=video 0 RTP/AVP 96\na=rtpmap:96 H265/90000\n", "m=video\na=rtpmap:999 H264/1"} {
		if got, err := parseSDP(bad); err == nil {
			t.Errorf("%q: %+v", bad, got)
		}
	}
	got, err := parseSDP("m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=fmtp:96 sprop-parameter-sets=Z0IAHw==,!!,aM4=\r\na=control:track1\r\n")
	if err != nil || got.format != 96 || got.control != "track1" || len(got.params) != 2 {
		t.Errorf("%+v %v", got, err)
	}
}

// FuzzStream gives the RTSP client any bytes after its requests.
func FuzzStream(f *testing.F) {
	f.Add([]byte("RTSP/1.0 200 OK\r\nCSeq: 1\r\nPublic: PLAY\r\n\r\nRTSP/1.0 200 OK\r\nCSeq: 2\r\nContent-Length: 55\r\n\r\n" +
		"m=video 0 RTP/AVP 97\r\na=rtpmap:97 H264/90000\r\na=control:x" +
		"RTSP/1.0 200 OK\r\nCSeq: 3\r\nSession: 1\r\n\r\n$\x00\x00\x10\x80\xe1\x00\x01\x00\x00\x00\x01\x00\x00\x00\x01\x65\x88\x01\x02"))
	f.Fuzz(func(t *testing.T, data []byte) {
		conn := &replay{in: bytes.NewReader(data)}
		s := newRTSP(&pacer{Conn: conn, raw: conn, stop: closedChannel()}, Target{Address: "x:322", AccessCode: code})
		for {
			if _, err := s.next(); err != nil {
				if !errors.Is(err, io.EOF) && err.Error() == "" {
					t.Error("an error without words")
				}
				break
			}
		}
		s.leave()
		if strings.Contains(conn.out.String(), code.Reveal()) {
			t.Error("the access code was sent")
		}
	})
}

func closedChannel() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

// replay is a connection that reads what was recorded.
type replay struct {
	net.Conn
	in  io.Reader
	out bytes.Buffer
}

func (r *replay) Read(b []byte) (int, error)       { return r.in.Read(b) }
func (r *replay) Write(b []byte) (int, error)      { return r.out.Write(b) }
func (r *replay) Close() error                     { return nil }
func (r *replay) SetWriteDeadline(time.Time) error { return nil }
func (r *replay) SetReadDeadline(time.Time) error  { return nil }
