// The address of this page's script until 0.1: a page of your own that was copied then still asks for it.
import './order/page.js';
