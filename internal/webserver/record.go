package webserver

import (
	"io"
	"net/http"
	"time"
)

// Access is what a request came to.
type Access struct {
	Method, Path string
	Remote       string // address of the client
	Subject      string // who it was, if somebody said by SetSubject
	Status       int
	Bytes        int64 // of the answer's body
	Took         time.Duration
	Cut          bool // the connection was cut, so that the client notices
}

// SetSubject notes for the access log who sent the request that w answers. w is
// what the Server's handler was given; otherwise nothing is noted.
func SetSubject(w http.ResponseWriter, name string) {
	if r, ok := w.(*recorder); ok {
		r.subject = name
	}
}

// record tells about requests, and turns away what no handler wants to see.
func (s *Server) record(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		started := time.Now()
		rec := &recorder{ResponseWriter: w, started: started}
		rec.conn, _ = r.Context().Value(connKey{}).(*tcpConn)
		if s.o.Access != nil {
			cut := true
			defer func() {
				s.o.Access(Access{
					Method: r.Method, Path: r.URL.Path, Remote: r.RemoteAddr, Subject: rec.subject,
					Status: rec.status, Bytes: rec.bytes, Took: time.Since(started), Cut: cut,
				})
			}()
			serve(next, rec, r)
			cut = false
			return
		}
		serve(next, rec, r)
	})
}

func serve(next http.Handler, w *recorder, r *http.Request) {
	// An absolute or other odd target is for a proxy, which this is not.
	if r.URL.Host != "" && r.URL.Scheme != "" || r.URL.Opaque != "" || r.RequestURI == "*" || len(r.RequestURI) > 4096 {
		w.Header().Set("Connection", "close")
		http.Error(w, "bad request target", http.StatusBadRequest)
		return
	}
	next.ServeHTTP(w, r)
}

// recorder counts what is answered.
type recorder struct {
	http.ResponseWriter
	started time.Time
	subject string
	status  int
	bytes   int64
	conn    *tcpConn // nil: not known
	flushed bool
}

// WriteHeader notes the status.
func (r *recorder) WriteHeader(status int) {
	if r.status == 0 && status >= 200 {
		r.status = status
		if time.Since(r.started) > writeTimeout/4 {
			// The time to receive begins with the answer.
			_ = http.NewResponseController(r.ResponseWriter).SetWriteDeadline(time.Now().Add(writeTimeout))
		}
	}
	r.ResponseWriter.WriteHeader(status)
}

// Write counts.
func (r *recorder) Write(p []byte) (int, error) {
	if r.status == 0 {
		r.WriteHeader(http.StatusOK)
	}
	n, err := r.ResponseWriter.Write(p)
	r.bytes += int64(n)
	return n, err
}

// ReadFrom counts, and leaves the sending of files to the system. The header
// and what follows it reach the client together: one that is woken for a header
// alone waits for the rest.
func (r *recorder) ReadFrom(src io.Reader) (int64, error) {
	if r.status == 0 {
		r.WriteHeader(http.StatusOK)
	}
	var n int64
	var err error
	if to, ok := r.ResponseWriter.(io.ReaderFrom); ok {
		if !r.flushed && r.conn != nil && len(r.Header()["Content-Length"]) == 1 {
			r.conn.cork(true)
			defer r.conn.cork(false)
			// What net/http has not sent yet it would copy the beginning of
			// src to.
			r.flushed = true
			if err := http.NewResponseController(r.ResponseWriter).Flush(); err != nil {
				return 0, err
			}
		}
		n, err = to.ReadFrom(src)
	} else {
		n, err = io.Copy(r.ResponseWriter, src)
	}
	r.bytes += n
	return n, err
}

// Unwrap lets a ResponseController find what is below.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
