// The menu of Send to: under the button that opened it, or a sheet on a phone; used by pointer, arrows, Enter, Esc.
(() => {
  const menu = () => document.getElementById('send-menu');
  const items = () => [...menu().querySelectorAll('[role=menuitem]')].filter((item) => item.checkVisibility());
  let from = '', head = 0;
  const opener = () => [...document.querySelectorAll('button.send')].find((button) => button.offsetParent);
  const place = (button) => {
    const {left, top, bottom} = button.getBoundingClientRect(), gap = 6;
    const below = innerHeight - bottom > top;
    Object.assign(menu().style, {
      left: `min(${left}px, 100vw - 12px - var(--menu-width))`,
      top: below ? `${bottom + gap}px` : 'auto',
      bottom: below ? 'auto' : `${innerHeight - top + gap}px`,
      maxHeight: `${(below ? innerHeight - bottom : top) - 2 * gap}px`,
    });
  };
  // Neither event bubbles.
  document.addEventListener('beforetoggle', (event) => {
    const button = opener();
    if (event.target.id !== 'send-menu' || !button) return;
    if (event.newState === 'open') place(button);
    button.setAttribute('aria-expanded', String(event.newState === 'open'));
  }, true);
  document.addEventListener('toggle', (event) => {
    if (event.target.id === 'send-menu' && event.newState === 'open') items()[0]?.focus({preventScroll: true});
  }, true);
  const close = () => menu()?.matches(':popover-open') && menu().hidePopover();
  addEventListener('resize', close);
  document.addEventListener('scroll', (event) => event.target !== menu() && close(), true);
  document.addEventListener('keydown', (event) => {
    const item = event.target.closest?.('#send-menu [role=menuitem]');
    if (!item) return;
    if (event.key === 'Tab') return close();
    const all = items(), at = all.indexOf(item), group = (one) => one.closest('.send-group');
    const to = {
      ArrowDown: at + 1,
      ArrowUp: at - 1,
      Home: 0,
      End: -1,
      ArrowRight: all.findIndex((one, i) => i > at && group(one) !== group(item)),
      ArrowLeft: all.findIndex((one) => group(one) === group(group(item).previousElementSibling?.lastElementChild ?? item)),
    }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    all.at(to % all.length).focus();
  });
  window.wanSend = {
    // What was chosen, by its name; the video and where it stands are read before the page is another.
    take: (item) => {
      from = document.body.dataset.page;
      head = document.querySelector(`#${CSS.escape(from)}-output .result-video video`)?.currentTime ?? 0;
      const {send, target} = item.dataset;
      close();
      setTimeout(() => {
        window.wanStudio.go(target);
        window.wanSteps?.show(target, 'material');
        const heading = document.querySelector(`.page-${CSS.escape(target)} .heading :is(h1, h2)`);
        heading?.setAttribute('tabindex', '-1');
        heading?.focus({preventScroll: true});
      });
      return send;
    },
    // Of the videos of all modes, in the order of `modes`, only the one that is sent.
    pick: (modes, now) => [...modes.map((mode, i) => (mode === from ? now[i] : null)), head],
  };
})();
