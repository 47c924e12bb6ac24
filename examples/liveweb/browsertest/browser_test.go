package browsertest

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

var screenshots = flag.String("screenshots", "", "directory for pictures of the page")

// limit is how long a test may take; what it waits for comes within milliseconds.
const limit = 2 * time.Minute

// browser starts a headless Chromium with a fresh profile, or skips the test where
// there is none. CI sets REQUIRE_BROWSER, so that it cannot be skipped there.
func browser(t *testing.T) context.Context {
	t.Helper()
	path := os.Getenv("BROWSER_PATH")
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if found, err := exec.LookPath(name); path == "" && err == nil {
			path = found
		}
	}
	if path == "" {
		const how = "no Chromium or Chrome found; install one (Debian: apt-get install chromium), or set BROWSER_PATH"
		if os.Getenv("REQUIRE_BROWSER") != "" {
			t.Fatal(how)
		}
		t.Skip(how)
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx,
		chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir()), chromedp.WindowSize(1100, 800), chromedp.Headless,
		chromedp.NoSandbox, // root has none; the page is ours
		chromedp.DisableGPU, chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
		chromedp.Flag("disable-dev-shm-usage", true), // containers have little of it
	)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	require.NoError(t, chromedp.Do(ctx), path)
	return ctx
}

// tab opens the page in another tab of the browser, and waits for its tickets.
func tab(t *testing.T, browser context.Context, site string) context.Context {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser)
	t.Cleanup(cancel)
	do(t, ctx, chromedp.Navigate(site), waitText("#live", "live, commit"))
	return ctx
}

func do(t *testing.T, ctx context.Context, actions ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	for i, a := range actions {
		if err := chromedp.Do(ctx, a); err != nil {
			page, _ := chromedp.Run(ctx, chromedp.Evaluate[string](`document.body.innerText`))
			require.NoError(t, err, "action %d; the page:\n%s", i, page)
		}
	}
}

// waitText waits until an element is there and contains a text.
func waitText(selector, text string) chromedp.Action[chromedp.Void] {
	return until(fmt.Sprintf(`(document.querySelector(%q)?.textContent ?? "").includes(%q)`, selector, text))
}

// until waits until an expression holds. Frames are no measure of time here: a tab
// that is not in front has none.
func until(js string) chromedp.Action[chromedp.Void] {
	return chromedp.Poll[chromedp.Void](js, chromedp.WithPollingInterval(20*time.Millisecond))
}

// build makes the program.
func build(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "liveweb")
	cmd := exec.Command("go", "build", "-o", bin, "./examples/liveweb")
	cmd.Dir = filepath.Join("..", "..", "..")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	return bin
}

// program is a running liveweb.
type program struct {
	*exec.Cmd
	site string
}

func start(t *testing.T, bin, addr string) *program {
	t.Helper()
	p := &program{Cmd: exec.Command(bin, "-addr", addr)}
	p.Stderr = os.Stderr
	out, err := p.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, p.Start())
	t.Cleanup(func() {
		if p.ProcessState == nil {
			_ = p.Process.Kill()
			_ = p.Wait()
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	_, p.site, _ = strings.Cut(strings.TrimSpace(line), "listening on ")
	return p
}

// stop ends the program as a service manager does; it must end in good order.
func (p *program) stop(t *testing.T) {
	t.Helper()
	require.NoError(t, p.Process.Signal(syscall.SIGTERM))
	require.NoError(t, p.Wait())
}

// post adds a ticket as a program that is no browser.
func post(t *testing.T, site string, form url.Values) {
	t.Helper()
	resp, err := http.PostForm(site+"/tickets", form)
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, http.StatusCreated, resp.StatusCode)
}

func picture(t *testing.T, ctx context.Context, name string) {
	if *screenshots == "" {
		return
	}
	png, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(*screenshots, name+".png"), png, 0o644))
}

// value is the value of an expression.
func value[T any](t *testing.T, ctx context.Context, js string) T {
	t.Helper()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](js))
	require.NoError(t, err)
	return v
}

// TestTwoBrowsers has one tab see what the other does, and what others do.
func TestTwoBrowsers(t *testing.T) {
	ctx := browser(t)
	p := start(t, build(t), "127.0.0.1:0")
	ana, ben := tab(t, ctx, p.site), tab(t, ctx, p.site)
	picture(t, ana, "begin")

	// Somebody else's change arrives, as text whatever it contains.
	post(t, p.site, url.Values{"subject": {"<img src=x onerror=alert(1)>"}, "owner": {"Dan"}})
	do(t, ana, waitText("#ticket-4 .subject", "<img src=x"), waitText("#count-open", "2"), waitText("#news", "ticket 4 added"))

	// Ana adds a ticket by the form, Ben sees it.
	do(t, ana,
		chromedp.SendKeys(chromedp.CSS("#add [name=subject]"), "The lift stops between floors"),
		chromedp.SendKeys(chromedp.CSS("#add [name=owner]"), "Ana\r"),
		until(`document.querySelector("#add [name=subject]").value === ""`))
	do(t, ben, waitText("#ticket-5 .subject", "The lift stops"), waitText("#ticket-5 .owner", "Ana"))
	require.Equal(t, "ticket-5", value[string](t, ben, `document.querySelector("#tickets tr").id`), "the newest first")

	// Ben edits it; meanwhile Ana changes its status, by the menu in the row.
	do(t, ben, chromedp.Click(chromedp.CSS("#ticket-5 .edit")), chromedp.WaitVisible(chromedp.CSS("#edit")),
		chromedp.SetValue(chromedp.CSS("#edit [name=owner]"), "Ben"))
	do(t, ana, chromedp.Evaluate[chromedp.Void](`{ const s = document.querySelector("#ticket-5 select"); s.value = "waiting"; s.dispatchEvent(new Event("change")); }`))
	do(t, ben, until(`document.querySelector("#ticket-5").dataset.status === "waiting"`))
	require.Equal(t, "Ben", value[string](t, ben, `document.querySelector("#edit [name=owner]").value`), "the form stays as it was typed")
	do(t, ben, chromedp.Click(chromedp.CSS("#edit button.main")), waitText("#edit .problem", "somebody else has changed"))
	require.Regexp(t, "^somebody", value[string](t, ben, `document.querySelector("#edit .problem").textContent`))
	picture(t, ben, "conflict")
	do(t, ben, chromedp.Click(chromedp.CSS("#edit button.main")), until(`!document.querySelector("#edit").open`))
	do(t, ana, waitText("#ticket-5 .owner", "Ben"))

	// A refused form says what is wrong, where it is wrong.
	do(t, ana, chromedp.Evaluate[chromedp.Void](`document.querySelector("#add").noValidate = true`),
		chromedp.Click(chromedp.CSS("#add button.main")), waitText("#add .problem", "subject is required"))
	require.Equal(t, "true", value[string](t, ana, `document.activeElement.getAttribute("aria-invalid")`))
	require.Equal(t, "subject", value[string](t, ana, `document.activeElement.name`))

	// Ben deletes a ticket, and Ana's focus stays where it is.
	do(t, ben, chromedp.Click(chromedp.CSS("#ticket-1 .delete")))
	do(t, ana, until(`!document.querySelector("#ticket-1")`), waitText("#news", "ticket 1 deleted"))
	require.Equal(t, "subject", value[string](t, ana, `document.activeElement.name`))
	picture(t, ana, "end")
	p.stop(t)
}

// TestServerComesBack stops the server below a page and starts another one: the
// page says that the connection is lost, connects again by itself, and shows what
// the new server has.
func TestServerComesBack(t *testing.T) {
	ctx := browser(t)
	bin := build(t)
	p := start(t, bin, "127.0.0.1:0")
	page := tab(t, ctx, p.site)
	post(t, p.site, url.Values{"subject": {"gone with the memory"}})
	do(t, page, waitText("#ticket-4", "gone with"))
	p.stop(t) // although the page's stream is open
	do(t, page, waitText("#live", "connection lost"))
	picture(t, page, "lost")
	p = start(t, bin, strings.TrimPrefix(p.site, "http://"))
	post(t, p.site, url.Values{"subject": {"another one"}}) // number 4 as well
	do(t, page, waitText("#live", "live, commit"), waitText("#ticket-4 .subject", "another one"))
	p.stop(t)
}

// TestNarrow holds that the page fits a telephone, and that its controls have names.
func TestNarrow(t *testing.T) {
	ctx := browser(t)
	p := start(t, build(t), "127.0.0.1:0")
	page := tab(t, ctx, p.site)
	do(t, page, chromedp.EmulateViewport(360, 740))
	picture(t, page, "narrow")
	require.False(t, value[bool](t, page, `document.documentElement.scrollWidth > innerWidth`))
	require.Empty(t, value[string](t, page, `[...document.querySelectorAll("main button, main input, main select")]
		.filter(e => !(e.textContent.trim() && e.tagName === "BUTTON" || e.labels?.length || e.getAttribute("aria-label")))
		.map(e => e.outerHTML).join()`))
	p.stop(t)
}
