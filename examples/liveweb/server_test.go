package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/noex-go/store"
)

func ask(v *Server, method, path string, form url.Values, header ...string) *httptest.ResponseRecorder {
	req := httptest.NewRequest(method, path, strings.NewReader(form.Encode()))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	v.Handler().ServeHTTP(w, req)
	return w
}

func TestForms(t *testing.T) {
	v := newServer(t)
	w := ask(v, "POST", "/tickets", url.Values{"subject": {"  <b>three</b> "}, "owner": {"Ana"}})
	require.Equal(t, http.StatusCreated, w.Code)
	var made Ticket
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &made))
	require.Equal(t, "<b>three</b>", made.Subject)
	require.Equal(t, "open", made.Status)

	path := fmt.Sprint("/tickets/", made.ID)
	w = ask(v, "PATCH", path, url.Values{"status": {"done"}, "version": {"1"}})
	require.Equal(t, http.StatusOK, w.Code)
	now, _ := v.tickets.Get(made.ID)
	require.Equal(t, "done", now.Status)
	require.Equal(t, "Ana", now.Owner, "what the form does not have stays")

	w = ask(v, "PATCH", path, url.Values{"owner": {"Ben"}, "version": {"1"}})
	require.Equal(t, http.StatusConflict, w.Code, "version 2 is there")
	w = ask(v, "PATCH", path, url.Values{"owner": {""}, "version": {"2"}})
	require.Equal(t, http.StatusOK, w.Code)
	now, _ = v.tickets.Get(made.ID)
	require.Empty(t, now.Owner)

	for range 2 {
		require.Equal(t, http.StatusNoContent, ask(v, "DELETE", path, nil).Code)
	}
	require.Equal(t, http.StatusNotFound, ask(v, "PATCH", path, url.Values{"owner": {"Ana"}}).Code)
}

func TestBadRequests(t *testing.T) {
	v := newServer(t)
	before := v.s.Stats().Commits
	long := url.Values{"subject": {strings.Repeat("x", 81)}, "status": {"lost"}}
	w := ask(v, "POST", "/tickets", long)
	require.Equal(t, http.StatusUnprocessableEntity, w.Code)
	var body struct{ Issues []store.Issue }
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &body))
	require.Len(t, body.Issues, 2)
	require.Equal(t, "subject", body.Issues[0].Field)
	require.Equal(t, store.CodeEnum, body.Issues[1].Code)

	require.Equal(t, http.StatusUnprocessableEntity, ask(v, "POST", "/tickets", url.Values{"subject": {" "}}).Code)
	require.Equal(t, http.StatusUnprocessableEntity, ask(v, "POST", "/tickets", url.Values{"subject": {"\xff"}}).Code)
	require.Equal(t, http.StatusUnprocessableEntity, ask(v, "PATCH", "/tickets/1", url.Values{"subject": {""}}).Code)
	require.Equal(t, http.StatusBadRequest, ask(v, "POST", "/tickets", url.Values{"subject": {strings.Repeat("x", 20_000)}}).Code)
	require.Equal(t, http.StatusNotFound, ask(v, "DELETE", "/tickets/one", nil).Code)
	require.Equal(t, http.StatusNotFound, ask(v, "GET", "/elsewhere", nil).Code)
	require.Equal(t, http.StatusMethodNotAllowed, ask(v, "PUT", "/tickets", nil).Code)
	other := ask(v, "POST", "/tickets", url.Values{"subject": {"from elsewhere"}}, "Sec-Fetch-Site", "cross-site")
	require.Equal(t, http.StatusForbidden, other.Code)
	require.Equal(t, before, v.s.Stats().Commits)
}

func TestPage(t *testing.T) {
	w := ask(newServer(t), "GET", "/", nil)
	require.Equal(t, http.StatusOK, w.Code)
	require.Equal(t, "text/html; charset=utf-8", w.Header().Get("Content-Type"))
	require.Contains(t, w.Body.String(), "EventSource")
	require.NotContains(t, w.Body.String(), "innerHTML", "text is set as text")
}

func TestBounded(t *testing.T) {
	v := newServer(t)
	for i := range most + 50 {
		require.Equal(t, http.StatusCreated, ask(v, "POST", "/tickets", url.Values{"subject": {fmt.Sprint("ticket ", i)}}).Code)
	}
	n, err := v.tickets.Count()
	require.NoError(t, err)
	require.Equal(t, most, n)
}

// TestStoreClosed: requests that come too late are told so.
func TestStoreClosed(t *testing.T) {
	v := newServer(t)
	require.NoError(t, v.s.Close(context.Background()))
	require.Equal(t, http.StatusServiceUnavailable, ask(v, "POST", "/tickets", url.Values{"subject": {"late"}}).Code)
	require.Equal(t, http.StatusServiceUnavailable, ask(v, "GET", "/events", nil).Code)
}
