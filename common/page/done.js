// What a page says of its jobs beyond itself: the tab's title, a sound where one is wished for, words for a screen reader.
(() => {
  const KEPT = 'wan-studio-wishes';
  const USUAL = {title: true, sound: false, keys: true};
  const wishes = () => {
    let kept = {};
    try { kept = JSON.parse(localStorage.getItem(KEPT)) ?? {}; } catch { /* none, or not ours */ }
    return Object.fromEntries(Object.entries(USUAL).map(([name, usual]) =>
      [name, typeof kept[name] === 'boolean' ? kept[name] : usual]));
  };
  let audio;
  const wake = () => {
    if (!wishes().sound) return;
    audio ??= new AudioContext();
    audio.resume();
  };
  const ring = () => {
    wake();
    if (!audio) return;
    for (const [i, pitch] of [660, 880].entries()) {
      const tone = audio.createOscillator(), volume = audio.createGain(), at = audio.currentTime + i * 0.16;
      tone.frequency.value = pitch;
      volume.gain.setValueAtTime(0.12, at);
      volume.gain.exponentialRampToValueAtTime(0.001, at + 0.3);
      tone.connect(volume).connect(audio.destination);
      tone.start(at);
      tone.stop(at + 0.3);
    }
  };
  // A browser lets a page sound only after its visitor has done something there.
  for (const event of ['pointerdown', 'keydown']) document.addEventListener(event, wake, true);
  window.wanWishes = {
    all: wishes,
    set: (name, value) => {
      try { localStorage.setItem(KEPT, JSON.stringify({...wishes(), [name]: value})); } catch { /* kept nowhere */ }
      look();
    },
    ring,
  };

  const region = document.createElement('div');
  region.setAttribute('role', 'status');
  region.className = 'unseen';
  window.wanSay = (text) => {
    if (!region.isConnected) document.body.append(region);
    region.textContent = text;
  };

  let own = '', set = '', ended = '';
  const title = (mark) => {
    if (document.title !== set) own = document.title;  // Gradio's, which comes late
    set = mark && wishes().title ? `${mark} ${own}` : own;
    if (document.title !== set) document.title = set;
  };
  const STATES = ['waiting', 'running', 'done', 'stopped', 'failed'];
  const busy = (state) => state === 'waiting' || state === 'running';
  const before = new Map();
  const look = () => {
    let running = null;
    for (const card of document.querySelectorAll('.output > .card .progress')) {
      const page = card.closest('.output').id, was = before.get(page);
      const state = STATES.find((one) => card.classList.contains(one)) ?? 'empty';
      before.set(page, state);
      // Of several jobs, that of the open page counts.
      if (busy(state) && (!running || card.checkVisibility())) running = card;
      if (was === undefined || busy(was) === busy(state)) continue;
      if (busy(state)) { ended = ''; window.wanSay('Generating'); continue; }
      if (state === 'stopped') { window.wanSay('Stopped'); continue; }
      if (state === 'done') window.wanSay('The video is done');  // what went wrong is an alert by itself
      if (document.hidden) ended = state === 'done' ? '✓ done' : '✗ failed';
      if (wishes().sound) ring();
    }
    const bar = running?.querySelector('.bar:not(.unknown) i');
    title(running ? (bar ? `(${Math.round(parseFloat(bar.style.width))}%)` : '(…)') : ended);
  };
  let soon = 0;
  new MutationObserver(() => { soon ||= setTimeout(() => { soon = 0; look(); }, 100); })
    .observe(document.documentElement, {childList: true, characterData: true, subtree: true});
  document.addEventListener('visibilitychange', () => {
    if (document.hidden) return;
    ended = '';
    look();
  });
})();
