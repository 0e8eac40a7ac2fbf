// A click on Generate waits for what was chosen a moment before: a preset's settings come back from the server.
(() => {
  const LONGEST_MS = 5000;
  let open = 0, waiting = null, late = 0;
  const settle = () => {
    const button = waiting;
    clearTimeout(late);
    waiting = null;
    // Gradio puts what came into its fields a moment after it has said that it came.
    if (button) requestAnimationFrame(() => setTimeout(() => button.click()));
  };
  window.wanChosen = {
    begun: () => { open += 1; },
    ended: () => {
      open = Math.max(0, open - 1);
      if (!open) settle();
    },
  };
  document.addEventListener('click', (event) => {
    const button = event.target.closest?.('.actions button:not(.stop)');
    if (!button || !open) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    if (waiting) return;
    waiting = button;
    late = setTimeout(() => { open = 0; settle(); }, LONGEST_MS);  // an answer that was lost holds up nobody
  }, true);
})();
