// The one place that knows which view library the page uses.
import { h, render } from 'preact';
import htm from 'htm';

export { render };
export { useEffect, useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks';
export const html = htm.bind(h);
