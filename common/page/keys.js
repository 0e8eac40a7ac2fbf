// Keys of every page: Ctrl+Enter generates, Esc asks and Esc again stops; in the Studio 1 to 9 open its pages.
(() => {
  const seen = (selector) => [...document.querySelectorAll(selector)].find((element) => element.checkVisibility());
  const FIELD = 'textarea, select, [contenteditable="true"], [role="combobox"], [role="textbox"], '
    + 'input:not([type="radio"], [type="checkbox"], [type="range"], [type="button"], [type="file"])';
  const OVER = 'dialog[open], :popover-open, [role="dialog"], [aria-modal="true"], [role="listbox"], .api-docs';
  // Looked at before anybody has closed what is open, by this very key.
  let over = false;
  document.addEventListener('keydown', () => { over = Boolean(document.fullscreenElement || seen(OVER)); }, true);
  document.addEventListener('keydown', (event) => {
    if (event.defaultPrevented || event.isComposing || over) return;
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) {
      const go = seen('.actions button.primary');
      if (!go) return;
      event.preventDefault();
      go.click();
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    if (event.target.closest?.(FIELD) || !window.wanWishes.all().keys) return;
    if (event.key === 'Escape') stop();
    else if (/^[1-9]$/.test(event.key)) document.querySelectorAll('.nav [data-page]')[event.key - 1]?.click();
  });
  // An hour's work should not end by a key pressed in passing: the first one goes to the button and says so.
  const stop = () => {
    const button = seen('.actions button.stop:not(:disabled)');
    if (!button) return;
    if (button === document.activeElement && 'asked' in button.dataset) return button.click();
    button.dataset.asked = '';
    button.addEventListener('blur', () => delete button.dataset.asked, {once: true});
    button.focus();
    window.wanSay('Press Escape again to stop the job');
  };
})();
