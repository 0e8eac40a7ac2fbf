// Pages are switched here, in the browser; no request is made.
(() => {
  const go = (page) => {
    const row = document.querySelector(`.nav [data-page="${page}"]`);
    if (!row || row.disabled) return;
    document.body.dataset.page = page;
    mark();
    history.replaceState(history.state, '', '#' + page);
    window.wanStudio.arrived?.(page);
    window.scrollTo({top: 0});
    if (window.innerWidth <= 768) document.querySelector('.sidebar.open .toggle-button')?.click();
  };
  const mark = () => {
    for (const row of document.querySelectorAll('.nav [data-page]')) {
      const here = row.dataset.page === document.body.dataset.page;
      row.classList.toggle('here', here);
      row.toggleAttribute('aria-current', here);
    }
  };
  // The rows are redrawn whenever a mode's state changes.
  new MutationObserver(mark).observe(document.documentElement, {childList: true, subtree: true});
  const settle = () => {
    const open = document.querySelector(`.nav [data-page="${document.body.dataset.page}"]`);
    if (open && !open.disabled) return;
    const first = document.querySelector('.nav [data-page]:not(:disabled)');
    if (first) go(first.dataset.page);
  };
  window.wanStudio = {go, settle};
  document.addEventListener('click', (event) => {
    const row = event.target.closest?.('[data-page]');
    if (row && row !== document.body) go(row.dataset.page);
  });
  // A video dropped anywhere but into an input is one to restore.
  const carries = (event) => [...(event.dataTransfer?.types ?? [])].includes('Files');
  const slot = (event) => event.target.closest?.('.inputs');
  addEventListener('dragover', (event) => { if (carries(event) && !slot(event)) event.preventDefault(); });
  addEventListener('drop', (event) => {
    if (!carries(event) || slot(event)) return;
    event.preventDefault();
    const input = document.querySelector('input[type=file][accept=".mp4"]');
    const files = [...event.dataTransfer.files].filter((file) => file.name.toLowerCase().endsWith('.mp4'));
    if (!input || !files.length) return;
    const data = new DataTransfer();
    data.items.add(files[0]);
    input.files = data.files;
    input.dispatchEvent(new Event('change', {bubbles: true}));
  });
  const begin = () => {
    document.body.dataset.page ||= location.hash.slice(1) || 't2v';
    if (window.innerWidth <= 768) document.querySelector('.sidebar.open .toggle-button')?.click();
  };
  document.body ? begin() : addEventListener('DOMContentLoaded', begin);
  let tries = 0;
  const ready = setInterval(() => {
    if (document.querySelector('.nav [data-page]') || ++tries > 100) {
      clearInterval(ready); begin(); settle();
    }
  }, 100);
})();
