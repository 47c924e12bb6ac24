// Package reactive is the index that leads from a changed record to the live queries that it concerns.
//
// A query watches a region of a plane. On one axis the region is a point: the encoded values of the fields that the query
// fixes by equality. On the other it is an interval over the encoded values of one more field.
//
//	Regions
//	  points ── "user=7" ── everywhere ─▶ place ⇄ place          intervals without bounds: a list, no tree
//	        │           └── root ─▶ [c,f) max=k                  all other intervals: a tree by (lo, hi)
//	        │                        ├─ [a,b) max=b ─▶ place     max: the greatest hi of a subtree
//	        │                        └─ [d,k) max=k ─▶ place ⇄ place
//	        └── "user=9" ── everywhere ─▶ place
//
// The points are in a hash table. A [Place] is made to be a part of its watcher, and has a short point in it, so that a
// look-up touches a line of the table and then the watcher's own memory.
//
// To find who watches a record, call [Regions.At] with the record's point and its coordinate, before the change and after.
//
// The tree is the interval tree of Cormen, Leiserson, Rivest and Stein, Introduction to Algorithms, ch. 14.3, over an AVL
// tree (Adelson-Velsky and Landis 1962; Knuth, TAOCP vol. 3, 6.2.3). A treap would be shorter by some lines, but its
// bounds are expected ones and its shape is not the same in the next run.
//
// With n distinct intervals at a point:
//
//  1. At finds a watcher if and only if its region has the point and the coordinate, once per [Place]. (TestModel, FuzzRegions)
//  2. Add and Remove take O(log n), or O(1) where the interval has no bounds, however many watchers share it. (TestShared)
//  3. At looks at O(log n) nodes if it finds none, and at O(log n) more for each interval that it finds, whatever other
//     points there are. Intervals that are neighbours in the tree share most of that: where all of n are found, it is
//     n nodes. (TestVisitedPoints, TestVisitedDisjoint, TestVisitedNested, TestVisitedScattered, TestVisitedAll)
//  4. At does not allocate. (TestAtDoesNotAllocate)
//  5. A point or an interval that nobody watches is not kept. (TestModel, TestEmptied)
//
// Nothing here locks: the caller holds one lock around every call.
package reactive
