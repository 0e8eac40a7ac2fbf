// What every page does in the browser besides Gradio: theme, the API's address, a job's id, rules told once, no flash of black.
(() => {
  const when = (selector, then) => {
    const look = new MutationObserver(() => {
      const found = document.querySelector(selector);
      if (found) { look.disconnect(); then(found); }
    });
    look.observe(document, {childList: true, subtree: true});
  };
  const url = new URL(location);
  // Video looks better on dark: dark unless the address says `?__theme=light`. Gradio adds this to a page that
  // may already have chosen its theme, hence both the address and the class.
  if (!url.searchParams.has('__theme')) {
    url.searchParams.set('__theme', 'dark');
    document.body?.classList.add('dark');
  }
  // Gradio's own `?view=api` shows nothing until its button has been pressed, and then closes.
  if (url.searchParams.get('view') === 'api') {
    url.searchParams.delete('view');
    when('.show-api', (button) => button.click());
  }
  history.replaceState(history.state, '', url);
  // A job's id, a UUID; `crypto.randomUUID` is not there for who comes by plain HTTP.
  window.wanJob = () => {
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    bytes[6] = (bytes[6] & 15) | 64;
    bytes[8] = (bytes[8] & 63) | 128;
    const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');
    return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
  };
  // A broken rule stands under Generate, and once Generate was pressed on the stage: there it is seen, and said once.
  const once = () => {
    for (const line of document.querySelectorAll('.label-card.broken .line')) {
      const told = line.closest('.two-columns')?.querySelectorAll('.output .error p') ?? [];
      const twice = [...told].some((text) => text.textContent === line.textContent);
      if (line.hidden !== twice) line.hidden = twice;
    }
  };
  new MutationObserver(once).observe(document, {childList: true, subtree: true, characterData: true});
  // The last preview lies over the stage until the video has a frame to show (see `.screen.done`).
  const drawn = (yes) => (event) => {
    if (event.target instanceof HTMLVideoElement) event.target.toggleAttribute('data-drawn', yes);
  };
  for (const event of ['loadeddata', 'error']) document.addEventListener(event, drawn(true), true);
  document.addEventListener('emptied', drawn(false), true);
})();
