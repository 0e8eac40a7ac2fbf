// Pages are switched here, in the browser; the server is told, since the header's generations are the page's.
(() => {
  const row = (page) => document.querySelector(`.nav [data-page="${CSS.escape(page)}"]`);
  const rows = () => [...document.querySelectorAll('.nav [data-page]')];
  const asked = () => decodeURIComponent(location.hash.slice(1));
  const show = (page) => {
    if (page !== document.body.dataset.page) {
      document.body.dataset.page = page;
      window.scrollTo({top: 0, behavior: 'instant'});
    }
    mark();
    if (window.innerWidth <= 768) document.querySelector('.sidebar.open .toggle-button')?.click();
  };
  const mark = () => {
    for (const entry of rows()) {
      const here = entry.dataset.page === document.body.dataset.page;
      entry.classList.toggle('here', here);
      here ? entry.setAttribute('aria-current', 'page') : entry.removeAttribute('aria-current');
    }
    const alive = document.querySelector('.page-queue [data-waiting]')?.dataset.waiting ?? '0';
    for (const link of document.querySelectorAll('button[data-page=queue]')) link.dataset.count = alive;
  };
  // The rows are redrawn whenever a mode's state changes.
  new MutationObserver(mark).observe(document.documentElement, {childList: true, subtree: true});
  // As if its row were clicked: that tells the server too, whose header follows the page.
  const go = (page) => row(page)?.click();
  const goFirst = () => rows()[0]?.click();
  window.wanStudio = {go};
  // By this the server knows whose jobs and results are this browser's; a page that may keep nothing is its own.
  let visitor = '';
  window.wanVisitor = () => {
    try { visitor ||= localStorage.getItem('wan-studio-visitor') ?? ''; } catch { /* no storage here */ }
    if (!/^[0-9a-f]{32}$/.test(visitor)) {
      visitor = window.wanJob().replaceAll('-', '');
      try { localStorage.setItem('wan-studio-visitor', visitor); } catch { /* until the page is closed */ }
    }
    return visitor;
  };
  // Shown with all that is asked and uploaded: a file belongs to who has made or brought it. No cookie is needed.
  const plain = window.fetch;
  window.fetch = (what, how) => {
    const url = new URL(what instanceof Request ? what.url : what, location);
    if (url.origin !== location.origin || !url.pathname.includes('/gradio_api/')) return plain(what, how);
    const request = new Request(what, how);
    request.headers.set('x-wan-visitor', window.wanVisitor());
    return plain(request);
  };
  document.addEventListener('click', (event) => {
    const link = event.target.closest?.('[data-page]');
    if (!link || link === document.body) return;
    const page = link.dataset.page;
    if (!link.closest('.nav')) return go(page);
    if (asked() !== page) history.pushState(history.state, '', '#' + page);
    show(page);
  });
  addEventListener('popstate', () => {
    const page = asked();
    row(page) ? go(page) : goFirst();
  });
  // A video dropped anywhere but into an input is one to restore; on the Gallery's page all of them are brought in.
  const carries = (event) => [...(event.dataTransfer?.types ?? [])].includes('Files');
  const slot = (event) => event.target.closest?.('.inputs');
  addEventListener('dragover', (event) => { if (carries(event) && !slot(event)) event.preventDefault(); });
  addEventListener('drop', (event) => {
    if (!carries(event) || slot(event)) return;
    event.preventDefault();
    const all = [...event.dataTransfer.files], gallery = document.body.dataset.page === 'gallery';
    const input = gallery ? window.wanGallery.importer() : document.querySelector('input[type=file][accept=".mp4"]');
    const files = gallery ? all : all.filter((file) => file.name.toLowerCase().endsWith('.mp4')).slice(0, 1);
    if (!input || !files.length) return;
    const data = new DataTransfer();
    for (const file of files) data.items.add(file);
    input.files = data.files;
    input.dispatchEvent(new Event('change', {bubbles: true}));
  });
  const begin = () => {
    if (!asked()) history.replaceState(history.state, '', '#t2v');
    show(asked());
  };
  document.body ? begin() : addEventListener('DOMContentLoaded', begin);
  let tries = 0;
  const drawn = setInterval(() => {
    if (!rows().length && ++tries < 100) return;
    clearInterval(drawn);
    row(document.body.dataset.page) ? show(document.body.dataset.page) : goFirst();
  }, 100);
})();
